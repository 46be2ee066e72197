"""`DELETE /users/{user_id}`: nothing of the user is left in any replica, in Redis or in the file of batch lists."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis
from click.testing import CliRunner

from service.batch.adapters.sqlite import ABANDONED_SECONDS, LOADING_NAME
from service.batch.ports import BatchSets
from service.cli import main
from service.errors import RecommenderError
from service.lists.keys import USER_PREFIX_BYTES, UserKey
from service.models import ItemList, ListRequest
from service.settings import load_settings
from service.wiring.names import user_keys
from service.wiring.tools import open_batch_sets
from tests.support.front_door import Door, OpenDoor, OpenFleet, three_doors
from tests.support.redis import RedisServer
from tests.support.traces import traces
from tests.support.waiting import until

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}
USER = "ann@shop.test"
DEADLINE_SECONDS = 0.5
SETTINGS = {
    "ADMIN_KEYS": "an-admin-key-of-the-tests",
    "REQUEST_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
    "PERSONALIZE_FILTER_ARN": "arn:aws:personalize:us-east-1:000000000000:filter/test",
    "LOG_LEVEL": "INFO",
}
BLUE: dict[str, Any] = {"filter_values": json.dumps({"COLOR": "blue"})}


@pytest.fixture
def fleet(open_door: OpenDoor, redis_server: RedisServer) -> OpenFleet:
    @asynccontextmanager
    async def opened() -> AsyncIterator[list[Door]]:
        async with three_doors(open_door, REDIS_URL=redis_server.url, **SETTINGS) as doors:
            await until(lambda: subscribers(redis_server) == len(doors))
            yield doors

    return opened


def subscribers(redis_server: RedisServer) -> int:
    with redis.Redis(port=redis_server.port) as client:
        channels: Any = client.pubsub_channels("pc:*:flights")
        return sum(count for _, count in client.pubsub_numsub(*channels)) if channels else 0


def keys(user: str = USER) -> list[bytes]:
    """The user's key, which begins like all others of the user."""
    return [user_keys(load_settings()).of(ListRequest(user))]


def in_memory(door: Door, user: str = USER) -> list[bytes | str]:
    return traces(door.app, user_id=user, keys=keys(user), but=[door.personalize, door.personalize.asked])


def in_redis(redis_server: RedisServer, user: str = USER) -> list[str]:
    """Keys that name the user, and hashes and sets that hold one who does."""
    user_prefix = keys(user)[0][:USER_PREFIX_BYTES]
    found = []
    with redis.Redis(port=redis_server.port) as client:
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            inside: Any = client.hkeys(key) if kind == b"hash" else client.smembers(key) if kind == b"set" else []
            # The fields of batch lists are the key without its first two bytes, which name the hash.
            if user_prefix.hex().encode() in key or any(
                field.startswith((user_prefix, user_prefix[2:])) for field in inside
            ):
                found.append(key.decode())
    return found


def load_batch(folder: Path, *users: str) -> None:
    path = folder / "users.json.out"
    with path.open("w") as file:
        for user in users:
            items = [f"item{n:03}" for n in range(30, 42)]
            line = {"input": {"userId": user}, "output": {"recommendedItems": items, "scores": [0.5] * 12}}
            file.write(json.dumps({**line, "error": None}) + "\n")
    result = CliRunner().invoke(main, ["batch", "load", str(path)])
    assert result.exit_code == 0, result.output


async def show_everywhere(doors: list[Door], *users: str) -> None:
    """Lists with and without filter values, rendered answers, a waiting refresh and a repeated answer on each."""

    async def is_cached(door: Door, user: str, values: dict[str, Any]) -> bool:
        """A busy machine may have to ask twice before there is a list."""
        answer = await door.get("/recommendations", user_id=user, **values)
        assert answer.status_code == 200
        return answer.headers["X-Recommendation-Source"] == "cache"

    shown = [(door, user, values) for door in doors for user in users or (USER,) for values in ({}, BLUE)]
    for one in shown:
        await until(partial(is_cached, *one))
        assert await is_cached(*one)
    for door in doors:
        door.personalize.failure = RecommenderError()
        door.clock.skew_seconds += 2_000
    for door, user, values in shown:
        answer = await door.get("/recommendations", user_id=user, **values)
        assert answer.headers["X-Recommendation-Source"] in ("stale", "cache"), answer.headers
    for door in doors:
        door.personalize.failure = None
        door.clock.skew_seconds -= 2_000


async def forget(door: Door) -> httpx.Response:
    """The answer to a request to forget; made again while Redis is too slow for it, as its message says."""
    answers: list[httpx.Response] = []

    async def is_done() -> bool:
        answers.append(await door.http.delete(f"/users/{USER}", headers=ADMIN))
        return answers[-1].status_code != 503

    await until(is_done)
    return answers[-1]


async def settled(tasks: set[asyncio.Task[object]]) -> None:
    """Return once only these tasks are left: nothing is under way, and what deletes once more has done so."""
    await until(lambda: asyncio.all_tasks() <= tasks)


async def test_no_trace_is_left_in_any_of_three_replicas_or_in_redis(
    fleet: OpenFleet, redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet() as doors:
        tasks = asyncio.all_tasks()
        load_batch(tmp_path, USER, "bob")
        await show_everywhere(doors, USER, "bob")
        assert all(in_memory(door) for door in doors)
        assert {key.rpartition(":")[2] for key in in_redis(redis_server)} > {"list"}
        assert len(in_redis(redis_server)) >= 3

        with caplog.at_level(logging.INFO):
            answer = await forget(doors[0])
            await settled(tasks)

        assert (answer.status_code, answer.json()) == (200, {"forgotten": True})
        assert [in_memory(door) for door in doors] == [[], [], []]
        assert in_redis(redis_server) == []
        assert all(in_memory(door, "bob") for door in doors)
        assert in_redis(redis_server, "bob")
        ours = [record for record in caplog.records if record.name.startswith(("service", "uvicorn"))]
        assert any("forgotten" in record.getMessage() for record in ours)
        user_prefix = keys()[0][:USER_PREFIX_BYTES]
        said = " ".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
        assert not [trace for trace in (USER, "ann%40", user_prefix.hex(), str(user_prefix)[2:-1]) if trace in said]


@pytest.mark.parametrize("forgotten_at", [0, 1])
async def test_a_list_that_lands_after_its_user_was_forgotten_is_kept_nowhere(
    fleet: OpenFleet, redis_server: RedisServer, forgotten_at: int
) -> None:
    async with fleet() as doors:
        tasks, held = asyncio.all_tasks(), asyncio.Event()
        for door in doors:
            door.personalize.held = held
        calls = [asyncio.create_task(door.get("/recommendations", user_id=USER)) for door in doors]
        await until(lambda: any(door.personalize.asked for door in doors))
        for door in doors:
            await door.shows("flights_open 1.0")

        answer = await doors[forgotten_at].http.delete(f"/users/{USER}", headers=ADMIN)
        held.set()
        answers = await asyncio.gather(*calls)

        assert answer.status_code == 200
        assert all(one.status_code == 200 and len(one.json()) == 10 for one in answers)
        del answers, calls
        await settled(tasks)
        assert [in_memory(door) for door in doors] == [[], [], []]
        assert in_redis(redis_server) == []

        async def is_served_again() -> bool:
            """Nothing is held back of the user any more."""
            again = await doors[2].get("/recommendations", user_id=USER)
            return again.headers["X-Recommendation-Source"] == "cache"

        await until(is_served_again)


async def test_a_user_who_is_forgotten_in_the_middle_of_a_send_costs_no_transaction_a_call(fleet: OpenFleet) -> None:
    """For seconds nothing was kept of the user: each call cost one, and took it from everybody else."""
    async with fleet() as doors:
        await show_everywhere(doors)
        before = sum(len(door.personalize.asked) for door in doors)
        assert (await forget(doors[0])).status_code == 200
        sources = []
        for door in 4 * doors:
            answer = await door.get("/recommendations", user_id=USER)
            sources.append(answer.headers["X-Recommendation-Source"])
        spent = sum(len(door.personalize.asked) for door in doors) - before
        assert sources[0] == "personalize"
        assert set(sources) <= {"personalize", "cache"}
        # What deletes once more may have done so meanwhile.
        assert 1 <= spent <= 2


async def test_an_answer_that_came_too_late_is_not_repeated_for_a_user_forgotten_meanwhile(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS) as door:
        tasks = asyncio.all_tasks()
        door.personalize.held = asyncio.Event()
        call = asyncio.create_task(door.get("/recommendations", user_id=USER))
        await until(lambda: bool(door.personalize.asked))
        assert (await door.http.delete(f"/users/{USER}", headers=ADMIN)).status_code == 200
        assert (await call).headers["X-Recommendation-Source"] == "popular"
        door.personalize.held.set()
        del call
        await settled(tasks)
        assert in_memory(door) == []


async def test_an_embedded_replica_keeps_no_trace_in_memory_or_in_its_files(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with open_door(DATA_DIR=str(data), **SETTINGS) as door:
        load_batch(tmp_path, USER, "bob")
        await show_everywhere([door])
        # A degraded answer, which is repeated for some seconds.
        door.personalize.failure = RecommenderError()
        door.clock.moved_seconds += 1_000_000
        assert (await door.get("/recommendations", user_id=USER)).headers["X-Degraded-Reason"] == "error"
        assert in_memory(door)
        assert in_files(data)

        answer = await door.http.delete(f"/users/{USER}", headers=ADMIN)

        assert answer.status_code == 200
        assert in_memory(door) == []
        assert in_files(data) == []
        assert in_files(data, "bob")


def load_some(sets: BatchSets, *users: str) -> None:
    """Begin or go on with a load, and leave it there as one that was killed does."""
    sets.begin("output")
    sets.write([(UserKey(keys(user)[0]), ItemList(("item001",), "", 1.0)) for user in users], b"mark")


async def test_a_load_that_was_killed_keeps_no_trace_and_brings_none_back_when_it_goes_on(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with open_door(DATA_DIR=str(data), **SETTINGS) as door:
        with open_batch_sets(load_settings()) as sets:
            load_some(sets, USER, "bob")
        assert in_files(data)
        assert (await door.http.delete(f"/users/{USER}", headers=ADMIN)).status_code == 200
        assert in_files(data) == []

        with open_batch_sets(load_settings()) as sets:
            load_some(sets, USER, "carol")
            assert sets.switch(b"{}") == 2
        assert in_files(data) == []
        assert in_files(data, "bob")
        assert in_files(data, "carol")


async def test_a_load_into_redis_that_was_killed_keeps_no_trace_and_brings_none_back(
    fleet: OpenFleet, redis_server: RedisServer
) -> None:
    async with fleet() as doors:
        with open_batch_sets(load_settings()) as sets:
            load_some(sets, USER, "bob")
        assert in_redis(redis_server)
        assert (await doors[0].http.delete(f"/users/{USER}", headers=ADMIN)).status_code == 200
        assert in_redis(redis_server) == []

        with open_batch_sets(load_settings()) as sets:
            load_some(sets, USER, "carol")
            assert sets.switch(b"{}") == 2
        assert in_redis(redis_server) == []
        assert in_redis(redis_server, "bob")
        assert in_redis(redis_server, "carol")


async def test_a_load_that_nobody_went_on_with_for_a_day_is_removed(open_door: OpenDoor, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_door(DATA_DIR=str(data), **SETTINGS):
        with open_batch_sets(load_settings()) as sets:
            load_some(sets, USER)
    for ago, left in ((ABANDONED_SECONDS - 60, True), (ABANDONED_SECONDS + 60, False)):
        then = time.time() - ago
        os.utime(data / LOADING_NAME, (then, then))
        async with open_door(DATA_DIR=str(data), **SETTINGS):
            assert (data / LOADING_NAME).exists() == left


async def test_a_replica_that_cannot_hear_of_it_makes_it_a_matter_of_trying_again(
    fleet: OpenFleet, redis_server: RedisServer
) -> None:
    async with fleet() as doors:
        for door in doors:
            await door.get("/recommendations", user_id=USER)
        with redis.Redis(port=redis_server.port) as client:
            client.execute_command("ACL", "SETUSER", "default", "-subscribe")
            one, *_ = client.client_list(_type="pubsub")
            client.client_kill(one["addr"])
            answer = await doors[0].http.delete(f"/users/{USER}", headers=ADMIN)
            assert answer.status_code == 503
            assert "2 of 3 replicas listen" in answer.json()["message"]

            client.execute_command("ACL", "SETUSER", "default", "+subscribe")
        await until(lambda: subscribers(redis_server) == len(doors))
        assert (await doors[0].http.delete(f"/users/{USER}", headers=ADMIN)).status_code == 200
        assert [in_memory(door) for door in doors] == [[], [], []]


@pytest.mark.parametrize("user", ["ann/of/gables", "ann\nsecond\n", "ann 😀?#"])
async def test_a_user_of_any_name_can_be_forgotten(open_door: OpenDoor, user: str) -> None:
    async with open_door(**SETTINGS) as door:
        await door.get("/recommendations", user_id=user)
        assert (await door.http.delete(f"/users/{quote(user, safe='')}", headers=ADMIN)).status_code == 200
        assert in_memory(door, user) == []


async def test_an_id_that_is_no_text_is_refused_and_never_taken_for_another(open_door: OpenDoor) -> None:
    async with open_door(**SETTINGS) as door:
        await door.get("/recommendations", user_id="\ufffd")
        for method, path, field in (
            ("DELETE", "/users/%ff", "user_id"),
            ("PUT", "/items/%C3%28/block", "item_id"),
            ("DELETE", "/items/%ff/block", "item_id"),
        ):
            answer = await door.http.request(method, path, headers=ADMIN)
            assert (answer.status_code, answer.json()["field"]) == (422, field)
            assert answer.json()["message"] == "is not UTF-8"
            assert (await door.http.request(method, path)).status_code == 401
        assert in_memory(door, "\ufffd")
        assert (await door.http.get("/items/blocked", headers=ADMIN)).json()["count"] == 0


def in_files(folder: Path, user: str = USER) -> list[str]:
    """Files that hold a user's key or id, in space that is free too."""
    searched = (keys(user)[0][:USER_PREFIX_BYTES], user.encode())
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(one in path.read_bytes() for one in searched)]


async def test_without_redis_a_request_to_forget_fails_and_the_replica_forgets_all_the_same(
    fleet: OpenFleet, redis_server: RedisServer
) -> None:
    async with fleet() as doors:
        await show_everywhere(doors)
        redis_server.kill()

        answer = await doors[0].http.delete(f"/users/{USER}", headers=ADMIN)

        assert answer.status_code == 503
        assert answer.json()["error"] == "unavailable"
        assert "try again" in answer.json()["message"]
        assert USER not in answer.text
        assert in_memory(doors[0]) == []
        assert in_memory(doors[1])
