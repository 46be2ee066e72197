"""What the log says when something breaks while it holds a caller's request: where, and nothing of the request."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from service.answers.placement import Placement
from service.logs import HIDDEN, configure_logging, log_loop_error
from service.models import ItemList, ListRequest
from tests.support.front_door import AskablePersonalize, OpenDoor

KEY = "a-key-of-twenty-four-letters-or-more"
ADMIN_KEY = "an-admin-key-of-twenty-four-letters"
SECRETS = (KEY, ADMIN_KEY, "somebody", "person@example.com")

FORMATS = ("json", "text")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # The client of these tests, which logs each URL.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def breaks_with_the_user(_: object, request: ListRequest, *, timeout_seconds: float) -> ItemList:
    del timeout_seconds
    raise KeyError(request.user_id, request.filter_values)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("broken", ["the flight", "the route", "the administration"])
async def test_a_bug_leaves_neither_key_nor_user_id_in_the_log(
    open_door: OpenDoor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
    broken: str,
) -> None:
    """I1"""
    filter_arn = "arn:aws:personalize:us-east-1:000000000000:filter/f"
    async with open_door(
        API_KEYS=KEY, ADMIN_KEYS=ADMIN_KEY, ALLOW_ANONYMOUS="false", PERSONALIZE_FILTER_ARN=filter_arn
    ) as door:
        configure_logging("info", log_format)
        if broken == "the flight":
            monkeypatch.setattr(AskablePersonalize, "recommend", breaks_with_the_user)
            answer = await door.http.get(
                "/recommendations?user_id=somebody&filter_values.MAIL=person@example.com", headers={"X-API-Key": KEY}
            )
            assert answer.status_code == 200
        elif broken == "the route":
            monkeypatch.setattr(Placement, "answer", lambda _, query, *__, **___: int(query.user_id))
            answer = await door.http.get("/recommendations?user_id=somebody", headers={"X-API-Key": KEY})
            assert answer.status_code == 500
        else:
            monkeypatch.setattr(type(door.app.lifecycle.services.administration.forgetting), "forget", ask_for)
            answer = await door.http.delete("/users/somebody", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
            assert answer.status_code == 500

    written = capsys.readouterr().err
    assert "frames" in written if log_format == "json" else "Traceback" in written
    assert "test_log_privacy.py" in written
    assert HIDDEN in written
    assert [line for line in written.splitlines() if any(one in line for one in SECRETS)] == []


async def ask_for(_: object, user_id: str) -> None:
    raise UnicodeEncodeError("ascii", user_id, 0, 1, f"not for {user_id}")


@pytest.mark.parametrize("log_format", FORMATS)
async def test_a_bug_behind_all_requests_is_logged_without_the_request(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    """I1"""
    configure_logging("info", log_format)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)

    def fails(user_id: str) -> None:
        raise ValueError(f"bad {user_id}")

    loop.call_soon(fails, "somebody")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    written = capsys.readouterr().err
    assert "background_error" in written
    assert "Exception in callback" in written
    assert "ValueError" in written
    assert "somebody" not in written


def test_debug_shows_an_exceptions_message(capsys: pytest.CaptureFixture[str]) -> None:
    """I1"""
    configure_logging("debug", "json")
    try:
        {"anybody": 1}["somebody"]
    except KeyError:
        logging.getLogger("any").exception("lost")

    [line] = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["exception"][0]["exc_value"] == "'somebody'"


class Screen(StringIO):
    """A terminal, as far as a log asks."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("log_format", "environment", "colored"),
    [("text", {}, True), ("text", {"NO_COLOR": "1"}, False), ("text", {"TERM": "dumb"}, False), ("json", {}, False)],
)
def test_a_log_has_color_only_where_a_terminal_shows_it(
    monkeypatch: pytest.MonkeyPatch, log_format: str, environment: dict[str, str], *, colored: bool
) -> None:
    """H11"""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for stream, is_colored in ((Screen(), colored), (StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging("info", log_format)
        logging.getLogger("any").warning("lost")
        assert ("\x1b[" in stream.getvalue()) is is_colored


@pytest.mark.parametrize("error", [OSError("no space left"), ValueError("closed file")])
def test_what_cannot_be_logged_fails_nothing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []

    class Full(StringIO):
        def write(self, line: str) -> int:
            lines.append(line)
            raise error

    monkeypatch.setattr(sys, "stderr", Full())
    configure_logging("info", "json")

    structlog.stdlib.get_logger("service").info("answered", status=200)

    assert '"event": "answered"' in lines[0]
