"""The outbox: every accepted event reaches Personalize, each once, whatever fails on the way."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from service.attribution import attribution_of
from service.cli import main
from service.events import outbox
from service.local_personalize.app import create_app
from service.local_personalize.arns import DATASET_ARN, TRACKING_ID
from service.local_personalize.data import Dataset, Interaction
from service.local_personalize.learn import learn
from tests.support.front_door import Door, OpenDoor
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
SETTINGS = {"EVENT_KEYS": KEY["X-API-Key"], "PERSONALIZE_TRACKING_ID": TRACKING_ID, "PERSONALIZE_EVENTS_TPS": "500"}


@pytest.fixture
def local() -> Iterator[LocalPersonalize]:
    histories = {"ann": [Interaction(f"item{n:03}", 1_700_000_000 + n, "View") for n in range(5)]}
    with serving(create_app(learn(Dataset(histories=histories, items={}, users={})), tps=0, latency_ms=0)) as running:
        yield running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon."""
    monkeypatch.setattr(outbox, "MIN_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "MAX_PAUSE_SECONDS", 0.4)


@pytest.fixture(autouse=True)
def sent_to_the_local_personalize(local: LocalPersonalize, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL_PERSONALIZE_EVENTS", local.url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ):
        monkeypatch.setenv(name, value)


def arrived(local: LocalPersonalize) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = local.http.get("/_events").json()
    return events


async def post(door: Door, *events: dict[str, Any], user: str = "ann") -> None:
    answer = await door.http.post("/events", json={"userId": user, "eventList": list(events)}, headers=KEY)
    assert (answer.status_code, answer.json()["accepted"]) == (202, len(events))


def views(count: int, prefix: str = "e") -> list[dict[str, Any]]:
    return [{"eventType": "View", "itemId": f"item{n % 60:03}", "eventId": f"{prefix}{n}"} for n in range(count)]


@pytest.fixture(params=["a file", "Redis"])
async def doors(request: pytest.FixtureRequest, open_door: OpenDoor) -> AsyncIterator[list[Door]]:
    """One embedded replica, and two that share a Redis."""
    async with AsyncExitStack() as stack:
        if request.param == "a file":
            yield [await stack.enter_async_context(open_door(**SETTINGS))]
        else:
            server = stack.enter_context(RedisServer())
            settings = {"REDIS_URL": server.url, **SETTINGS}
            yield [await stack.enter_async_context(open_door(**settings)) for _ in range(2)]


@pytest.mark.processes
async def test_every_event_arrives_once_as_it_was_given(doors: list[Door], local: LocalPersonalize) -> None:
    whole = {
        "eventType": "Purchase",
        "itemId": "item001",
        "eventId": "whole",
        "eventValue": 12.5,
        "sentAt": 1_700_000_000.5,
        "properties": {"channel": "mail"},
        "recommendationId": "RID-1",
        "impression": ["item001", "item002"],
    }
    await post(doors[0], whole)
    await post(doors[-1], *views(35))
    await until(lambda: len(arrived(local)) >= 36)
    events = {event["eventId"]: event for event in arrived(local)}
    assert len(arrived(local)) == len(events) == 36
    assert events["whole"].pop("sessionId").startswith("day-")
    assert events["whole"] == {**whole, "properties": '{"channel":"mail"}', "userId": "ann"}


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["throttle", "error500", "reset", "garbage"])
async def test_what_failed_is_sent_again(doors: list[Door], local: LocalPersonalize, mode: str) -> None:
    local.fail(mode, of="events")
    await post(doors[0], *views(12))

    async def waiting() -> bool:
        return "events_waiting 12.0" in (await doors[0].http.get("/metrics")).text

    await until(waiting)
    assert arrived(local) == []
    local.fail("none", of="events")
    await until(lambda: _later(doors) and len(arrived(local)) >= 12)
    assert sorted(event["eventId"] for event in arrived(local)) == sorted(f"e{n}" for n in range(12))


@pytest.mark.processes
async def test_a_right_that_is_missing_puts_no_event_aside(doors: list[Door], local: LocalPersonalize) -> None:
    local.refuse(**{"*": "AccessDeniedException"})
    await post(doors[0], *views(3))
    for _ in range(5):
        await doors[0].shows("events_waiting 3.0")
        _later(doors)
    local.refuse()
    await until(lambda: _later(doors) and len(arrived(local)) >= 3)
    assert sorted(event["eventId"] for event in arrived(local)) == ["e0", "e1", "e2"]
    assert 'events_total{result="aside"} 0.0' in (await doors[0].http.get("/metrics")).text


USERS = DATASET_ARN + "USERS"


@pytest.mark.processes
@pytest.mark.parametrize("redis", [False, True])
async def test_columns_of_users_reach_putusers_once_they_are_safe(
    open_door: OpenDoor, local: LocalPersonalize, redis_server: RedisServer, *, redis: bool
) -> None:
    where = {"REDIS_URL": redis_server.url} if redis else {}
    async with open_door(**SETTINGS, PERSONALIZE_USERS_DATASET_ARN=USERS, **where) as door:
        for user, columns in (
            ("ann", {"AGE": 31}),
            ("böb/2", {"MEMBER_CLASS": "gold", "gender": None}),
            ("ann", {"AGE": 32}),
        ):
            answer = await door.http.post(f"/users/{quote(user, safe='')}", json=columns, headers=KEY)
            assert (answer.status_code, answer.json()) == (202, {"accepted": True})

        def put() -> dict[str, str]:
            calls = local.http.get("/_puts").json()["PutUsers"]
            return {one["userId"]: one["properties"] for call in calls for one in call["users"]}

        await until(lambda: put() == {"ann": '{"age":32}', "böb/2": '{"memberClass":"gold"}'})
        # They are no events: neither is one sent on, nor known.
        assert arrived(local) == []
        bodies: tuple[object, ...] = ([], {}, "x", {"a": {"b": 1}}, {"a": "x" * 24_000})
        for body in bodies:
            assert (await door.http.post("/users/ann", json=body, headers=KEY)).status_code == 422
        assert (await door.http.post("/users/ann", json={"AGE": 1})).status_code == 401
        refused = await door.http.post(
            "/events", json={"userId": "ann", "eventList": [{"eventType": "$user"}]}, headers=KEY
        )
        assert refused.json()["accepted"] == 0


async def test_without_a_users_dataset_nobody_is_taken(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS) as door:
        assert (await door.http.post("/users/ann", json={"AGE": 1}, headers=KEY)).status_code == 404


@pytest.mark.processes
async def test_what_personalize_never_takes_is_put_aside_and_keeps_nothing_back(
    doors: list[Door], local: LocalPersonalize
) -> None:
    bad = {"eventType": "View", "itemId": "item001", "properties": {"userId": "reserved"}}
    with capture_logs() as logs:
        await post(doors[0], *views(3), {**bad, "eventId": "bad"}, {**bad, "eventId": "as bad"})

        async def both_aside() -> bool:
            return await _put_aside(doors, 2)

        await until(both_aside)
    # A wrong tracking id is the fault of every event: a line each would bury the log.
    said = [log["problem"] for log in logs if log["event"] == "event_put_aside"]
    assert set(said) == {"InvalidInputException (400)"}
    assert len(said) <= len(doors)
    assert sorted(event["eventId"] for event in arrived(local)) == ["e0", "e1", "e2"]
    status = await asyncio.to_thread(CliRunner().invoke, main, ["events", "status"])
    assert (status.exit_code, status.stdout) == (0, "0 events wait\n2 were put aside: Personalize refused them\n")
    retried = await asyncio.to_thread(CliRunner().invoke, main, ["events", "retry"])
    assert (retried.exit_code, retried.stdout) == (0, "2 events wait again\n")


async def _put_aside(doors: list[Door], count: int) -> bool:
    _later(doors)
    pages = [(await door.http.get("/metrics")).text for door in doors]
    found = (re.search(r'^events_total\{result="aside"\} (.+)', page, re.MULTILINE) for page in pages)
    return sum(float(one[1]) for one in found if one) == count and "events_waiting 0.0" in pages[0]


def _later(doors: list[Door]) -> bool:
    # Pauses in Redis are measured by its own clock, which no test moves.
    if len(doors) == 1:
        doors[0].clock.moved_seconds += 1
    return True


async def links(door: Door, **query: object) -> tuple[list[str], str]:
    """What an answer shows, and the list that its links name."""
    answer = await door.get("/recommendations", **{"user_id": "ann", "attribution": "url", "num_results": 4, **query})
    items = answer.json()
    [rid] = {attribution_of(item["url"])["rid"] for item in items}
    return [item["id"] for item in items], rid


@pytest.mark.processes
async def test_an_event_of_a_send_tells_personalize_what_the_user_was_shown(
    doors: list[Door], local: LocalPersonalize
) -> None:
    monday, monday_rid = await links(doors[0], send="monday", user_id="bob")
    tuesday, rid = await links(doors[0], send="tuesday", rotate=1)
    friday, same_rid = await links(doors[0], send="friday", rotate=1)
    assert (rid, set(tuesday) & set(friday)) == (same_rid, set())
    both, _ = await links(doors[0], send="short", num_results=2)
    only_asked, unpinned_rid = await links(doors[0], user_id="eve")
    given: dict[str, dict[str, Any]] = {
        "second": {"itemId": friday[1], "recommendationId": rid},
        "any item": {"recommendationId": monday_rid, "userId": "bob"},
        "in two sends": {"itemId": both[0], "recommendationId": rid},
        "in none": {"itemId": "item059", "recommendationId": rid},
        "of another user": {"itemId": monday[0], "recommendationId": monday_rid},
        "not in a send": {"itemId": only_asked[0], "recommendationId": unpinned_rid, "userId": "eve"},
        "said by the sender": {"itemId": friday[0], "recommendationId": rid, "impression": [friday[0], "item001"]},
        "of no list": {"itemId": friday[0]},
    }
    for name, event in given.items():
        await post(doors[-1], {"eventType": "Click", "eventId": name, **event}, user=event.pop("userId", "ann"))
    await until(lambda: len(arrived(local)) >= len(given))

    impressions = {event["eventId"]: event.get("impression") for event in arrived(local)}
    assert impressions == {
        **dict.fromkeys(given, None),
        "second": friday,
        "any item": monday,
        "said by the sender": [friday[0], "item001"],
    }
