import gzip
import json
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from service.braze.adapters.http import ServiceCaller
from service.braze.cases import CASES, made_up
from service.braze.ports import Answer, Call

ITEMS = Call("https://recommendations.example.com/recommendations?user_id=u&num_results=3")
OBJECT = Call("https://recommendations.example.com/recommendations?user_id=u&num_results=3&format=object")


class Host:
    """A host on loopback that answers as it is wanted, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Message]] = []
        self.status, self.body = 200, b"[]"
        self.headers: dict[str, str] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.command, self.path, self.headers))
                self.send_response(host.status)
                for name, value in {"Content-Length": str(len(host.body)), **host.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(host.body)

            do_POST = do_GET  # noqa: N815  # http.server's name

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_the_service_is_called_whatever_host_the_template_names(host: Host) -> None:
    caller = ServiceCaller(host.url + "/prefix/", {"*": {"X-API-Key": "key"}})

    caller(Call("https://a.example/some/where/recommendations?user_id=a b&x={ü}", credential="any"))
    caller(ITEMS)

    assert [path for _, path, _ in host.asked] == [
        "/prefix/recommendations?user_id=a%20b&x={%C3%BC}",
        "/prefix/recommendations?user_id=u&num_results=3",
    ]
    assert [headers.get("X-API-Key") for _, _, headers in host.asked] == ["key", None]
    assert host.asked[0][2]["User-Agent"].startswith("Braze Sender ")


@pytest.mark.parametrize("name", ["h", "t", "ps", "http", "user:secret@s", "[::1]", "2130706433", "S.example."])
def test_no_name_of_a_host_becomes_a_part_of_the_address(name: str, host: Host) -> None:
    assert ServiceCaller(host.url)(Call(f"https://{name}/a/recommendations?u={name}#x")).status == 200

    assert [path for _, path, _ in host.asked] == [f"/recommendations?u={name}"]


@pytest.mark.parametrize(
    "url",
    [
        "https:/a.example/recommendations",
        "https://a.example/",
        "https://a.example/admin/recommendations/../../users",
        "https://a.example/latest/meta-data",
        "https://a.example:8443/recommendations",
        "https://a.example:x/recommendations",
        "ftp://a.example/recommendations",
        "file:///recommendations",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/iam",
        "http://[::1/recommendations",
        "",
    ],
)
def test_nothing_else_is_called(url: str, host: Host) -> None:
    answer = ServiceCaller(host.url)(Call(url))

    assert (answer.status, answer.text, host.asked) == (598, "", [])
    assert answer.problem


def test_a_redirect_is_not_followed_and_an_error_has_no_text(host: Host) -> None:
    caller = ServiceCaller(host.url)
    host.status, host.headers = 307, {"Location": host.url + "/recommendations?elsewhere"}
    assert (caller(ITEMS).status, caller(ITEMS).text, len(host.asked)) == (307, "", 2)

    host.status, host.headers, host.body = 422, {}, b"num_results: too large"
    assert caller(ITEMS) == Answer(422, "", "num_results: too large")


def test_an_answer_that_is_too_long_or_nothing_at_all_is_no_answer(host: Host) -> None:
    host.body = b"x" * 1_000_001
    assert ServiceCaller(host.url)(ITEMS).text == ""

    host.headers, host.body = {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 5_000_000)
    host.headers["Content-Length"] = str(len(host.body))
    assert ServiceCaller(host.url)(ITEMS) == Answer(200, "", "the answer is longer than 1 MB")

    host.body = gzip.compress(b"[]")[:-4]
    host.headers["Content-Length"] = str(len(host.body))
    assert ServiceCaller(host.url)(ITEMS).status == 598

    host.server.server_close()
    assert ServiceCaller(host.url)(ITEMS).status == 598


def items(answer: Answer) -> list[dict[str, object]]:
    value = json.loads(answer.text)
    return value["items"] if isinstance(value, dict) else value  # type: ignore[no-any-return]  # JSON


@pytest.mark.parametrize("call", [ITEMS, OBJECT], ids=["array", "object"])
def test_the_hard_cases_are_what_they_are_called(call: Call) -> None:
    usual = items(made_up(call))
    found = {name: case(made_up)(call) for name, case in CASES.items()}

    assert len(usual) == 3
    assert items(found["empty"]) == []
    assert items(found["one"]) == usual[:1]
    assert items(found["popular"]) == items(made_up(Call(call.url.replace("user_id=u", "user_id="))))
    assert (found["down"].status, found["down"].text) == (598, "")
    assert all('"' in str(item["name"]) and "<b>" in str(item["name"]) for item in items(found["nasty-name"]))
    assert all(len(str(item["name"])) > 250 for item in items(found["long-name"]))
    assert [item["price"] for item in items(found["free"])] == [0, 0, 0]


def test_an_empty_object_counts_nothing_and_says_so() -> None:
    answer = json.loads(CASES["empty"](made_up)(OBJECT).text)

    assert (answer["count"], answer["source"], answer["items"]) == (0, "empty", [])


@pytest.mark.parametrize("wanted", ["0", "101", "-1", "many", "1e2", "9" * 400, ""])
def test_a_number_of_items_that_the_service_refuses_is_refused_without_it_too(wanted: str) -> None:
    assert made_up(Call(ITEMS.url.replace("num_results=3", f"num_results={wanted}"))).status == 422


def test_what_is_no_address_gets_no_items() -> None:
    assert made_up(Call("https://[::1/recommendations?user_id=1")).status == 598


def test_what_is_no_list_of_items_stays_as_it_is() -> None:
    assert CASES["one"](lambda _: Answer(200, "text"))(ITEMS) == Answer(200, "text")
