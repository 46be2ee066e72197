"""What a client may put on the wire when nobody escaped the user's id."""

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Process
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  # JSON is
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


def request(user_id: bytes, path: bytes = b"/recommendations?user_id=") -> bytes:
    return b"GET " + path + user_id + b" HTTP/1.1\r\nHost: service\r\nUser-Agent: Braze Sender 0000000\r\n\r\n"


def read_answer(connection: socket.socket) -> Answer:
    """One answer, by its length; the connection stays open."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.strip().lower()] = value.strip()
    return Answer(status, headers, stream.read(int(headers["content-length"])))


def is_read(connection: socket.socket) -> bool:
    """Whether the other end, a process of this machine, has taken everything that was sent."""
    theirs, ours = connection.getpeername()[1], connection.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (theirs, ours):
            return int(queues.split(":")[1], 16) == 0
    raise AssertionError("the connection is gone")


def ask(replica: Process, *packets: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, packet in enumerate(packets):
            if number:
                wait_until(lambda: is_read(connection))
            connection.sendall(packet)
        return read_answer(connection)


@pytest.mark.parametrize(
    "user_id",
    [
        "ü".encode(),
        "😀".encode(),
        "Zoë 😀 x".encode(),
        "ü".encode() * 256,
        b"a+b",
        b"a b",
        b"../x",
        b"%00",
        b"%zz",
        b"a" * 256,
        b"a&b",
        b"<a>\"'|\\^`",
        b"{{${user_id}}}",
        b"",
    ],
    ids=repr,
)
def test_an_unescaped_user_id_is_answered_with_a_full_list(replica: Process, user_id: bytes) -> None:
    answer = ask(replica, request(user_id))

    assert answer.status == 200, answer
    assert len(answer.json()) == 10


@pytest.mark.parametrize(
    ("user_id", "status"),
    [(b"\xff\xfe", 422), (b"%ff", 422), (b"\xc3", 422), (b"a" * 257, 422), (b"\x01", 400), (b"a\x00b", 400)],
    ids=repr,
)
def test_what_is_no_text_or_too_long_is_refused_in_json(replica: Process, user_id: bytes, status: int) -> None:
    answer = ask(replica, request(user_id))

    assert answer.status == status
    assert {"error", "message"} <= answer.json().keys()


def test_a_raw_and_an_escaped_user_id_are_the_same_user(replica: Process, personalize: Process) -> None:
    raw = ask(replica, request("Zoë-raw".encode()))
    escaped = ask(replica, request(b"Zo%C3%AB-raw"))

    assert raw.headers["x-recommendation-source"] == "personalize"
    assert escaped.headers["x-recommendation-source"] == "cache"
    assert raw.body == escaped.body
    assert personalize.get_json("/_stats")["by_user"]["Zoë-raw"] == 1


def test_a_user_id_cut_into_packets_in_the_middle_of_a_letter_is_put_together(
    replica: Process, personalize: Process
) -> None:
    whole = request("packets-ü".encode())
    middle = whole.index(b"\xc3") + 1

    assert ask(replica, whole[:2], whole[2:middle], whole[middle:]).status == 200
    assert personalize.get_json("/_stats")["by_user"]["packets-ü"] == 1


def test_a_connection_carries_raw_requests_one_after_the_other(replica: Process) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
        for user_id in ("ü-1".encode(), b"plain", "😀-1".encode(), "ü-1".encode()):
            connection.sendall(request(user_id))
            assert read_answer(connection).status == 200


@pytest.mark.parametrize("path", [b"/recommendations/", b"/\xc3\xbc", b"//", b"/sample/images", b"/../etc/passwd"])
def test_an_unknown_path_is_neither_redirected_nor_a_fault(replica: Process, path: bytes) -> None:
    answer = ask(replica, request(b"user1", path + b"?user_id="))

    assert answer.status in (400, 404)
    assert "location" not in answer.headers
    assert {"error", "message"} <= answer.json().keys()


def test_what_is_no_http_is_refused_at_once(replica: Process) -> None:
    tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

    assert ask(replica, tls_hello).status == 400


@pytest.mark.parametrize("path", [b"/livez?x=", b"/recommendations?user_id=", b"/nope?user_id=", b"/ranking?user_id="])
def test_head_gets_the_length_of_what_get_is_answered_and_nothing_behind_the_head(
    replica: Process, path: bytes
) -> None:
    """F2"""
    got = ask(replica, request(b"user1", path))
    head = request(b"user1", path).replace(b"GET ", b"HEAD ")
    with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
        connection.sendall(head + head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = connection.makefile("rb").read()

    assert answers.count(b"HTTP/1.1 %d " % got.status) == answers.count(b"HTTP/1.1") == 2
    assert answers.count(b"content-length: %d\r\n" % len(got.body)) == 2
    assert answers.endswith(b"\r\n\r\n")
    assert got.body not in answers


@pytest.mark.parametrize("rest", [b"zz\r\n{}\r\n", b"2\r\n{}"], ids=["no chunk", "gone"])
def test_a_body_that_does_not_come_leaves_no_error_in_the_log(replica: Process, rest: bytes) -> None:
    """I1: each was an error with two tracebacks, for whatever client that left."""
    head = b"POST /ranking HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
        connection.sendall(head)
        wait_until(lambda: is_read(connection))
        connection.sendall(rest)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
    assert ask(replica, request(b"afterwards")).status == 200

    assert [line for line in replica.written() if "Disconnect" in line or "Traceback" in line] == []
