import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from service.api.auth import Gate
from service.cli import main
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

ENV_OF_A_REAL_SERVICE = """
HOST=192.0.2.1
LOG_FORMAT=json
ACCESS_LOG_SAMPLE=0
ALLOW_ANONYMOUS=false
PERSONALIZE_RECOMMENDER_ARN=arn:aws:personalize:eu-west-1:123456789012:recommender/shop
PERSONALIZE_FILTER_ARN=arn:aws:personalize:eu-west-1:123456789012:filter/bought
CATALOG_URL=s3://shop/items.csv
CATALOG_COLUMNS=name=title,price=pricing.current
EXCLUSION_FILTER='EXCLUDE ItemID WHERE Items.SEASON = "winter"'
REDIS_URL=rediss://shop.example:6379
AWS_PROFILE=production
AWS_REGION=eu-west-1
"""
"""Each line would keep the sample from starting, or take it to a real account."""


class Started(NamedTuple):
    """A running `personalize-connect sample`."""

    process: "subprocess.Popen[bytes]"
    service_port: int
    local_port: int
    output: Path


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Started]:
    with started(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def lasting_sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """One for the tests that only look."""
    with started(tmp_path_factory.mktemp("sample")) as running:
        yield running


@contextmanager
def started(folder: Path, *, terminal: bool = False) -> Iterator[Started]:
    port = free_port()
    output = folder / "output"
    (folder / ".env").write_text(ENV_OF_A_REAL_SERVICE)
    with shown_on(output) if terminal else output.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "sample", "--data", str(ROOT / "sample")],
            # In a group of its own, as a terminal makes one.
            cwd=folder,
            env={
                "TERM": "xterm",
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "PORT": str(port),
                "USER_KEY_SECRET": "of a real service",
            },
            stdout=stdout,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        wait_until(lambda: "Ready. Try" in output.read_text())
        found = re.search(r"ready on http://127\.0\.0\.1:(\d+)", output.read_text())
        assert found is not None
        yield Started(process, port, int(found[1]), output)
    finally:
        process.kill()
        process.wait()


@contextmanager
def shown_on(screen: Path) -> Iterator[int]:
    """A terminal; what it shows is written to a file until the last process has closed it."""
    ours, theirs = pty.openpty()
    screen.touch()

    def show() -> None:
        with screen.open("wb", buffering=0) as file, suppress(OSError):
            while shown := os.read(ours, 65_536):
                file.write(shown)
        os.close(ours)

    showing = threading.Thread(target=show, daemon=True)
    showing.start()
    yield theirs
    os.close(theirs)


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def child_of(pid: int) -> int:
    """The only child of a process, read from /proc."""
    parents = {
        int(path.parent.name): path.read_text().rpartition(")")[2].split()[1]
        for path in Path("/proc").glob("[0-9]*/stat")
    }
    [child] = [one for one, parent in parents.items() if parent == str(pid)]
    return child


def interrupt_from_the_terminal(sample: Started) -> None:
    os.killpg(sample.process.pid, signal.SIGINT)


def terminate(sample: Started) -> None:
    sample.process.terminate()


def kill_the_service(sample: Started) -> None:
    sample.process.kill()


def kill_the_local_personalize(sample: Started) -> None:
    os.kill(child_of(sample.process.pid), signal.SIGKILL)


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("stop", "exit_status"),
    [
        (interrupt_from_the_terminal, 0),
        (terminate, 0),
        (kill_the_service, -signal.SIGKILL),
        (kill_the_local_personalize, 1),
    ],
)
def test_the_sample_leaves_no_process_behind(
    sample: Started, stop: Callable[[Started], None], exit_status: int
) -> None:
    url = f"http://127.0.0.1:{sample.service_port}/recommendations?user_id=user1"
    with urllib.request.urlopen(url) as answer:
        assert answer.headers["X-Recommendation-Source"] == "personalize"

    stop(sample)

    assert sample.process.wait(15) == exit_status, sample.output.read_text()
    wait_until(lambda: not listens(sample.service_port) and not listens(sample.local_port))


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_samples_child_inherits_nothing_that_configures_the_service(lasting_sample: Started) -> None:
    """I9: it had the keys of a real service, if the shell did."""
    environment = Path(f"/proc/{child_of(lasting_sample.process.pid)}/environ").read_bytes().split(b"\0")
    names = {one.partition(b"=")[0] for one in environment if one}
    assert b"PATH" in names
    assert not [name for name in names if name.startswith((b"AWS_", b"CATALOG_", b"PERSONALIZE_", b"USER_KEY_"))]


def ask_for_users(sample: Started, count: int) -> None:
    for number in range(count):
        url = f"http://127.0.0.1:{sample.service_port}/recommendations?user_id=user{number % 2 + 1}"
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200


@pytest.mark.processes
def test_a_terminal_shows_a_line_of_text_for_each_request_of_the_sample(tmp_path: Path) -> None:
    """H11: JSON, and no sign of a curl. It takes a start of its own, since only a start sees a terminal."""
    with started(tmp_path, terminal=True) as sample:
        before = sample.output.read_text().count("answered")
        ask_for_users(sample, 4)
        wait_until(lambda: sample.output.read_text().count("answered") >= before + 4)
        shown = sample.output.read_text()

    lines = [line for line in shown.splitlines() if "answered" in line]
    assert not any(line.startswith("{") for line in shown.splitlines())
    assert all("\x1b[" in line for line in lines)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1])
    assert re.match(r"\d\d:\d\d:\d\d \[info *\] answered ", plain)
    assert "source=cache" in plain
    assert "status=200" in plain


@pytest.mark.processes
def test_the_sample_writes_json_where_there_is_no_terminal(lasting_sample: Started) -> None:
    """H11"""
    before = lasting_sample.output.read_text().count('"answered"')
    ask_for_users(lasting_sample, 3)
    wait_until(lambda: lasting_sample.output.read_text().count('"answered"') >= before + 3)

    lines = [line for line in lasting_sample.output.read_text().splitlines() if "answered" in line]
    assert {json.loads(line)["status"] for line in lines} == {200}
    assert "\x1b[" not in lasting_sample.output.read_text()


@pytest.mark.processes
def test_the_samples_pictures_and_its_folder_follow_the_port(lasting_sample: Started) -> None:
    """H5: they pointed to port 8000, and two samples of one checkout fought for one folder. H4: the command's name."""
    port, output = lasting_sample.service_port, lasting_sample.output
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/recommendations?user_id=user1") as answer:
        path = json.load(answer)[0]["image"].removeprefix(f"http://127.0.0.1:{port}/")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
        assert answer.headers["Content-Type"] == "image/svg+xml"

    assert [path.name for path in (output.parent / "data").iterdir()] == [f"sample-{port}"]
    assert f"{Path(sys.executable).with_name('personalize-connect')} --help" in output.read_text()


@pytest.mark.processes
def test_the_sample_says_where_its_console_is_and_asks_for_no_key_there(lasting_sample: Started) -> None:
    url = f"http://127.0.0.1:{lasting_sample.service_port}/console"
    assert re.search(rf"^  {re.escape(url)}$", lasting_sample.output.read_text().replace("\r", ""), re.MULTILINE)
    with urllib.request.urlopen(url) as answer:
        assert 'aria-current="page">User</a>' in answer.read().decode()


def test_a_missing_sample_is_one_readable_mistake(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["sample", "--data", str(tmp_path / "nowhere")])

    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_the_sample_does_not_start_beside_another_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("PORT", str(other.getsockname()[1]))
        result = CliRunner().invoke(main, ["sample", "--data", str(ROOT / "sample")])

    assert result.exit_code == 2
    assert "is taken; PORT=8080 make run takes another" in result.stderr


def test_each_configuration_mistake_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "70000")
    monkeypatch.setenv("ALLOW_ANONYMOUS", "true")
    monkeypatch.setenv("PERSONALIZE_CAMPAIGN_ARN", "arn:aws:personalize:us-east-1:000000000000:campaign/local")
    monkeypatch.delenv("CATALOG_URL", raising=False)
    (tmp_path / "placements.toml").write_text("[placements.similar]\nkind = 3\ntps = 0\n", "utf-8")
    monkeypatch.setenv("PLACEMENTS_FILE", "placements.toml")
    result = CliRunner().invoke(main, ["serve"])

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "PORT: '70000' is not a whole number of at least 0 and at most 65535",
        "PLACEMENTS_FILE: placement similar: kind: 3: input should be 'recommendations', 'similar-items' or 'ranking'",
        "PLACEMENTS_FILE: placement similar: tps: 0: input should be greater than 0",
        "CATALOG_URL: is required; an address that begins with one of file://, s3://, dynamodb://",
    ]
    assert result.stdout == ""


def test_a_local_personalize_without_interactions_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["local-personalize", "--data", str(tmp_path)])

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"local-personalize: {tmp_path} holds neither interactions.csv nor interactions.csv.gz"
    ]


def test_a_hashed_key_opens_as_the_key_does() -> None:
    key = "0123456789abcdef01234567"
    result = CliRunner().invoke(main, ["hash-key"], input=f"{key}\n")
    gate = Gate(api_keys=[result.output.strip()], basic=[], admin_keys=[], anonymous=False)

    assert key not in result.output
    assert gate.admits([(b"x-api-key", key.encode())])
    assert not gate.admits([(b"x-api-key", result.output.strip().encode())])


def test_a_short_key_is_not_hashed() -> None:
    result = CliRunner().invoke(main, ["hash-key"], input="secret\n")

    assert result.exit_code == 1
    assert result.stderr == "hash-key: at least 24 characters, not 6\n"


@pytest.mark.processes
def test_help_loads_neither_the_service_nor_the_local_personalize() -> None:
    code = (
        "import sys; from service.cli import main; main(['--help'], standalone_mode=False); "
        "print([m for m in ('fastapi', 'aiobotocore', 'uvicorn') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "[]"


def test_the_version_is_the_projects() -> None:
    result = CliRunner().invoke(main, ["--version"])

    assert result.output == "personalize-connect, version 0.1.0\n"
