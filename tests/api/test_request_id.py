import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.logs import configure_logging
from tests.support.front_door import OpenDoor

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def access_lines(written: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.splitlines()]
    return [line for line in lines if line["event"] == "answered"]


async def test_a_live_answer_and_a_hit_each_get_one_access_line(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", "json")
    async with open_door(ACCESS_LOG_SAMPLE="1") as door:
        for number in range(2):
            answer = await door.http.get(
                "/recommendations?user_id=somebody", headers={"X-Request-Id": f"message-{number}"}
            )
            assert answer.headers["X-Request-Id"] == f"message-{number}"

    live, hit = access_lines(capsys.readouterr().err)
    assert (live["request_id"], live["source"]) == ("message-0", "personalize")
    assert (hit["request_id"], hit["source"]) == ("message-1", "cache")
    assert {"personalize_ms", "budget_ms"} <= live.keys()
    for line in (live, hit):
        assert line["status"] == 200
        assert line["degraded_reason"] is None
        assert line["cache_age_seconds"] == 0
        # Not since the machine was started.
        assert 0 <= line["duration_ms"] < 600_000
        assert "somebody" not in json.dumps(line)


async def test_a_logged_request_without_an_id_is_given_one_that_the_answer_bears(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", "json")
    async with open_door(ACCESS_LOG_SAMPLE="1") as door:
        given = [(await door.get("/recommendations", user_id="u")).headers["X-Request-Id"] for _ in range(2)]

    assert [line["request_id"] for line in access_lines(capsys.readouterr().err)] == given
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in given)
    assert given[0] != given[1]


async def test_without_a_sample_there_is_no_line_and_no_made_up_id(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", "json")
    async with open_door(ACCESS_LOG_SAMPLE="0") as door:
        for _ in range(2):
            assert "X-Request-Id" not in (await door.get("/recommendations", user_id="u")).headers

    assert access_lines(capsys.readouterr().err) == []


@pytest.mark.parametrize(
    ("asked", "status", "route"),
    [
        ("GET /recommendations", 422, "/recommendations"),
        ("GET /recommendations?user_id=somebody&num_results=0", 422, "/recommendations"),
        ("POST /recommendations?user_id=somebody", 405, "/recommendations"),
        ("GET /somebody", 404, None),
        ("DELETE /users/somebody", 401, "/users/{user_id:id}"),
        ("GET /version", 200, "/version"),
    ],
)
async def test_an_answer_that_recommends_nothing_gets_an_access_line_too(
    open_door: OpenDoor, capsys: pytest.CaptureFixture[str], asked: str, status: int, route: str | None
) -> None:
    configure_logging("info", "json")
    async with open_door(ACCESS_LOG_SAMPLE="1") as door:
        answer = await door.http.request(*asked.split())
        for quiet in ("/livez", "/readyz", "/metrics"):
            await door.http.get(quiet)

    assert answer.status_code == status
    [line] = access_lines(capsys.readouterr().err)
    assert (line["status"], line["route"], line["request_id"]) == (status, route, answer.headers["X-Request-Id"])
    assert "somebody" not in json.dumps(line)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "mine"}, "mine"),
        ({"traceparent": "00-short-00f067aa0ba902b7-01"}, None),
        ({"X-Request-Id": "x" * 129}, None),
        ({"X-Request-Id": "two words"}, None),
        ({"X-Request-Id": ""}, None),
    ],
)
@pytest.mark.parametrize("path", ["/recommendations?user_id=u", "/recommendations", "/nowhere"])
async def test_every_answer_repeats_the_callers_id(
    open_door: OpenDoor, path: str, headers: dict[str, str], named: str | None
) -> None:
    async with open_door(ACCESS_LOG_SAMPLE="0") as door:
        for _ in range(2):
            assert (await door.http.get(path, headers=headers)).headers.get("X-Request-Id") == named
