"""Replicas on a Redis that is cut off, forgets, hears odd messages, or is a cluster: what a caller sees."""

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from service.cli import main
from service.errors import RecommenderTimeout
from service.fleet.rights import acl_rules
from service.lists.forgetting import Forgetting
from service.lists.keys import UserPrefix
from tests.support.front_door import Door, OpenDoor, three_doors
from tests.support.redis import RedisCluster, RedisServer, be_patient_with_redis
from tests.support.relay import Relay, relay
from tests.support.waiting import until

pytestmark = pytest.mark.processes

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}
SETTINGS = {"ADMIN_KEYS": ADMIN["X-API-Key"], "REQUEST_DEADLINE_SECONDS": "0.5"}
"""How long a forgotten user is watched for follows from the deadline."""
PATIENT = SETTINGS | {"REQUEST_DEADLINE_SECONDS": "5"}
USER = "ann@shop.test"
newcomers_ask_first = pytest.mark.parametrize("newcomers_ask_first", [True], ids=["asking"])
RIGHTS_USER, PASSWORD = "personalize", "a-password-of-the-test"


@pytest.fixture
def redis_has_time() -> bool:
    """Most of these tests are about one that does not answer."""
    return False


async def source(door: Door, user: str = USER) -> str:
    """Where the user's answer came from."""
    answer = await door.get("/recommendations", user_id=user)
    assert answer.status_code == 200
    assert len(answer.json()) == 10
    return answer.headers["X-Recommendation-Source"]


async def forget(door: Door, user: str = USER) -> None:
    """Ask until it is done everywhere."""

    async def done() -> bool:
        return (await door.http.delete(f"/users/{user}", headers=ADMIN)).status_code == 200

    await until(done)


async def block(door: Door, item: str) -> None:
    """Take an item out of every answer."""

    async def done() -> bool:
        return (await door.http.put(f"/items/{item}/block", headers=ADMIN)).status_code == 200

    await until(done)


async def has_a_list(door: Door, user: str = USER) -> None:
    """Ask until the user has one; on a busy machine Redis or a slot may seem to be away for a moment."""

    async def done() -> bool:
        return await source(door, user) in {"personalize", "cache"}

    await until(done)


async def blocked(door: Door) -> list[str]:
    """The items that this replica leaves out."""
    items: list[str] = (await door.http.get("/items/blocked", headers=ADMIN)).json()["items"]
    return items


@pytest.fixture
async def way(redis_server: RedisServer) -> AsyncIterator[Relay]:
    """To Redis, and cut at will."""
    async with relay(redis_server.port) as found:
        yield found


async def test_a_list_that_came_back_to_redis_before_the_word_that_its_user_is_forgotten_goes_again(
    open_door: OpenDoor, redis_server: RedisServer, way: Relay
) -> None:
    """J1: a Redis that lost its memory got the list from the replica that had not heard, and kept it."""
    with capture_logs() as logs:
        async with (
            relay(redis_server.port) as way_of_who_knows,
            open_door(REDIS_URL=way_of_who_knows.url, **SETTINGS) as knows,
            open_door(REDIS_URL=way.url, **SETTINGS) as cut_off,
        ):
            await has_a_list(cut_off)
            way.cut()
            await cut_off.shows("redis_up 0.0")
            await forget(knows)
            way_of_who_knows.cut()
            # It forgets once more after the longest flight, which would save the day.
            await until(lambda: any(log["event"] == "user_perhaps_not_forgotten" for log in logs))
            await asyncio.to_thread(redis_server.kill)
            await asyncio.to_thread(redis_server.start)
            way.mend()
            await until(lambda: bool(redis_server.ask("KEYS", "*:list")))
            way_of_who_knows.mend()

            async def is_forgotten() -> bool:
                return await source(cut_off) == "personalize"

            await until(is_forgotten)


@pytest.mark.parametrize("loses_its_memory", [False, True])
async def test_a_user_forgotten_while_a_replica_was_cut_off_is_not_served_from_its_memory_afterwards(
    open_door: OpenDoor,
    redis_server: RedisServer,
    way: Relay,
    monkeypatch: pytest.MonkeyPatch,
    *,
    loses_its_memory: bool,
) -> None:
    """J1: the replica went on to serve the list, for up to seven days."""
    once_more, went_again = Forgetting._once_more, asyncio.Event()

    async def noted(forgetting: Forgetting, user_prefix: UserPrefix) -> None:
        await once_more(forgetting, user_prefix)
        went_again.set()

    monkeypatch.setattr(Forgetting, "_once_more", noted)
    async with (
        open_door(REDIS_URL=redis_server.url, **SETTINGS) as reached,
        open_door(REDIS_URL=way.url, **SETTINGS) as cut_off,
    ):
        await has_a_list(cut_off)
        await has_a_list(cut_off, "bob")
        way.cut()
        await cut_off.shows("redis_up 0.0")
        # As long as it counts as alive, no caller hears that every replica knows.
        await forget(reached)
        assert await source(cut_off) == "cache"
        if loses_its_memory:
            # Afterwards it would save the day.
            await until(went_again.is_set)
            await asyncio.to_thread(redis_server.kill)
            await asyncio.to_thread(redis_server.start)
            await reached.shows("redis_up 1.0")
        way.mend()
        await cut_off.shows("redis_up 1.0")

        async def is_forgotten() -> bool:
            return await source(cut_off) == "personalize"

        await until(is_forgotten)
        assert await source(cut_off, "bob") == "cache"


@pytest.mark.parametrize("embedded", [False, True])
async def test_a_batch_that_is_older_than_the_request_to_forget_does_not_bring_the_user_back(
    open_door: OpenDoor, redis_server: RedisServer, tmp_path: Path, *, embedded: bool
) -> None:
    """J1: for batch lists, also when the load begins long after."""
    where = {"DATA_DIR": str(tmp_path / "data")} if embedded else {"REDIS_URL": redis_server.url}
    output = tmp_path / "users.json.out"
    lines = [
        {"input": {"userId": user}, "output": {"recommendedItems": [f"item{n:03}" for n in range(30, 42)]}}
        for user in (USER, "bob")
    ]
    output.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    hour_ago = time.time() - 3_600
    os.utime(output, (hour_ago, hour_ago))
    async with open_door(**PATIENT | where) as door:
        await forget(door)
        result = await asyncio.to_thread(CliRunner().invoke, main, ["batch", "load", str(output)])
        assert result.exit_code == 0, result.output
        door.personalize.failure = RecommenderTimeout()
        assert [await source(door, "bob"), await source(door)] == ["batch", "popular"]


ODD = [
    b"",
    b"\x00",
    b"\xff",
    b"\x08",
    b"\x0fshort",
    b"\x03abc",
    b"\x00" * 400,
    b"\xff" * 4_096,
    b"hello",
    json.dumps({"forget": USER}).encode(),
    bytes([15]) + bytes(15) + b"\x11",
    bytes([15]) + bytes(15) + b"\x11\xff\xff\x01",
    bytes([16]) + bytes(16) + b"\x11\x05\x00\x01stale",
]


async def test_odd_messages_on_the_channel_end_with_themselves(open_door: OpenDoor, redis_server: RedisServer) -> None:
    """J8: `PUBLISH channel ""` left the replica deaf until a restart."""
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(open_door(REDIS_URL=redis_server.url, **PATIENT)) for _ in range(2)]
        await until(lambda: sum(redis_server.ask("PUBSUB", "NUMSUB", channel(redis_server))[1::2]) == 2)
        for message in ODD:
            assert await asyncio.to_thread(redis_server.ask, "PUBLISH", channel(redis_server), message) == 2
        held = asyncio.Event()
        for door in doors:
            door.personalize.held = held
        calls = [asyncio.create_task(door.get("/recommendations", user_id=USER)) for door in doors]
        await until(lambda: any(door.personalize.asked for door in doors))
        await asyncio.sleep(0.05)
        held.set()
        answers = await asyncio.gather(*calls)
        assert answers[0].json() == answers[1].json()
        assert sum(len(door.personalize.asked) for door in doors) == 1
        assert (await doors[0].http.delete(f"/users/{USER}", headers=ADMIN)).status_code == 200
        assert await source(doors[1]) == "personalize"


def channel(server: RedisServer) -> str:
    found: list[bytes] = server.ask("PUBSUB", "CHANNELS", "pc:*:flights")
    return found[0].decode() if found else "pc:none:flights"


@pytest.mark.parametrize("which", ["list", "pin"])
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        b"\x01\x00" + b"\x7f\xf8" + bytes(6) + b"\x00",  # no number
        b"\x01\x00" + b"\x7f\xf0" + bytes(6) + b"\x00",  # for ever
        b"\x01\x01" + bytes(8) + b"\xff" + bytes(40),
        b"\x11\x07\x06\x00nowherebudget",
        b"\x11\xff\xff\x01",
        b"\x11\x05\x06\x01stalebudget" + b"\x01\x00" + b"\x7f\xf0" + bytes(6) + b"\x00",
    ],
)
async def test_whatever_stands_in_redis_the_user_gets_a_live_list(
    open_door: OpenDoor, redis_server: RedisServer, which: str, value: bytes
) -> None:
    """J8: a pin of an unknown source left the user without an answer."""
    async with open_door(REDIS_URL=redis_server.url, **PATIENT) as door:
        assert await source(door) == "personalize"
        await until(lambda: bool(redis_server.ask("KEYS", "pc:*:list")))
        [key] = redis_server.ask("KEYS", "pc:*:list")
        assert (await door.http.delete(f"/users/{USER}", headers=ADMIN)).status_code == 200
        await asyncio.to_thread(redis_server.ask, "SET", key.replace(b":list", f":{which}".encode()), value)
        assert await source(door) == "personalize"


@pytest.mark.parametrize("answer", [b"$-1\r\n", b"+OK\r\n", b":7\r\n", b"*0\r\n", b"*2\r\n:0\r\n$1\r\n0\r\n"])
async def test_a_redis_that_answers_something_else_costs_no_answer_and_is_back_by_itself(
    open_door: OpenDoor, redis_server: RedisServer, answer: bytes
) -> None:
    """E1, J8: calls got 500, and the heartbeat ended, so that Redis was missed until the restart."""
    events = {"EVENT_KEYS": "events-key-of-24-characters", "EXCLUDE_AFTER": "Purchase:1d"}
    async with relay(redis_server.port) as between, open_door(REDIS_URL=between.url, **PATIENT, **events) as door:
        await door.shows("redis_up 1.0")
        between.answer = answer
        for number in range(20):
            answered = await door.get("/recommendations", user_id=f"user{number}")
            assert answered.status_code == 200
        await door.shows("redis_up 0.0")
        between.answer = None
        await door.shows("redis_up 1.0")
        assert await source(door, "somebody") == "personalize"


@newcomers_ask_first
async def test_a_block_is_known_to_a_replica_that_starts_as_redis_comes_back_empty(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    """K7."""
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(open_door(REDIS_URL=redis_server.url, **PATIENT))
        await block(old, "item007")
        await block(old, "item008")
        assert (await old.http.delete("/items/item008/block", headers=ADMIN)).status_code == 200
        await asyncio.to_thread(redis_server.kill)
        await old.shows("redis_up 0.0")
        await asyncio.to_thread(redis_server.start)
        new = await stack.enter_async_context(open_door(REDIS_URL=redis_server.url, **PATIENT))
        assert await blocked(new) == await blocked(old) == ["item007"]


async def have_their_shares(redis_server: RedisServer, replicas: int) -> None:
    """Return once each replica has been granted its part; one that has just come answers nobody without Redis."""

    def granted() -> list[str]:
        [name] = redis_server.ask("KEYS", "pc:{fleet}:*:shares")
        return [value.decode().split()[0] for value in redis_server.ask("HVALS", name)]

    await until(lambda: granted() == [str(replicas)] * replicas)


async def ids(door: Door, user: str) -> list[str]:
    return [item["id"] for item in (await door.get("/recommendations", user_id=user)).json()]


@newcomers_ask_first
async def test_lists_of_the_time_without_redis_are_everybodys_when_it_is_back(
    open_door: OpenDoor, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient_with_redis(monkeypatch)
    async with three_doors(open_door, REDIS_URL=redis_server.url, **PATIENT) as doors:
        first, second, third = doors
        # The second replica's Personalize answers otherwise.
        second.personalize.unknown_items = 3
        assert await source(first, "before") == "personalize"
        await have_their_shares(redis_server, len(doors))
        await asyncio.to_thread(redis_server.kill)
        for door in doors:
            await door.shows("redis_up 0.0")
        assert await source(first, "during") == "personalize"
        assert await source(second, "on two") == "personalize"
        assert await source(third, "on two") == "personalize"
        assert await ids(second, "on two") != await ids(third, "on two")
        spent = [len(door.personalize.asked) for door in doors]

        # It has lost everything, as a failover may lose the last moments.
        await asyncio.to_thread(redis_server.start)
        for door in doors:
            await door.shows("redis_up 1.0")

        async def is_put_back() -> bool:
            return len(redis_server.ask("KEYS", "pc:*:list")) == 3

        async def is_one_list() -> bool:
            return len({tuple(await ids(door, "on two")) for door in doors}) == 1

        await until(is_put_back)
        await until(is_one_list)
        for user in ("before", "during", "on two"):
            assert [await source(door, user) for door in doors] == ["cache"] * 3
            assert len({tuple(await ids(door, user)) for door in doors}) == 1
        assert [len(door.personalize.asked) for door in doors] == spent


@newcomers_ask_first
async def test_without_redis_linked_replicas_ask_once_for_a_user_and_show_the_same(
    open_door: OpenDoor, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient_with_redis(monkeypatch)
    async with three_doors(open_door, REDIS_URL=redis_server.url, REPLICA_LINKS="on", **PATIENT) as doors:
        for door in doors:
            await door.shows("replica_links 2.0")
        await have_their_shares(redis_server, len(doors))
        await asyncio.to_thread(redis_server.kill)
        for door in doors:
            await door.shows("redis_up 0.0")
        numbers = itertools.count()

        async def have_asked_for_three() -> bool:
            """Shares of the budget may be small for a moment; then a user is shown popular items everywhere."""
            user = f"user{next(numbers)}"
            answers = await asyncio.gather(*(door.get("/recommendations", user_id=user) for door in doors * 2))
            assert len({answer.text for answer in answers}) == 1
            asked = [request.user_id for door in doors for request in door.personalize.asked]
            assert asked.count(user) <= 1
            return len(asked) >= 3

        await until(have_asked_for_three)


@newcomers_ask_first
async def test_a_confirmed_block_outlives_a_failover_to_a_copy_that_lagged(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    """K7."""
    async with AsyncExitStack() as stack:
        lagging = stack.enter_context(RedisServer())
        way = await stack.enter_async_context(relay(redis_server.port))
        doors = [await stack.enter_async_context(open_door(REDIS_URL=way.url, **PATIENT)) for _ in range(2)]
        await block(doors[0], "item001")
        await asyncio.to_thread(lagging.ask, "REPLICAOF", "127.0.0.1", redis_server.port)
        await until(lambda: bool(lagging.ask("KEYS", "pc:*:blocked")))
        # From here on it hears nothing.
        await asyncio.to_thread(lagging.ask, "REPLICAOF", "NO", "ONE")
        await block(doors[1], "item002")
        assert (await doors[1].http.delete("/items/item001/block", headers=ADMIN)).status_code == 200

        async def known() -> bool:
            return [await blocked(door) for door in doors] == [["item002"]] * 2

        await until(known)
        way.cut()
        await asyncio.to_thread(redis_server.kill)
        way._to_port = lagging.port
        way.mend()
        for door in doors:
            await door.shows("redis_up 1.0")
        late = await stack.enter_async_context(open_door(REDIS_URL=way.url, **PATIENT))
        assert [await blocked(door) for door in (*doors, late)] == [["item002"]] * 3


async def try_everything(doors: list[Door], tmp_path: Path) -> None:
    """One list for all replicas, a block, forgetting, a batch load, a prewarm: all that needs Redis."""
    one, other = doors
    users = [f"user{n}" for n in range(12)]
    for user in users:
        assert await source(one, user) == "personalize"
        # Stale where Redis was slow to answer on a busy machine; either way no transaction was spent.
        assert await source(other, user) in ("cache", "stale")
    await block(one, "item020")
    await until(lambda: blocked_is(other, ["item020"]))
    await forget(other, "user3")
    assert await source(one, "user3") == "personalize"
    wanted = {"user_ids": [*users, "new1", "new2"], "seconds": 2, "spare": 1.0}
    report = (await one.http.post("/users/prewarm", json=wanted, headers=ADMIN)).json()
    assert report["kept"] >= len(users) - 1
    output = tmp_path / "users.json.out"
    lists = [f"item{n:03}" for n in range(30, 42)]
    lines = [{"input": {"userId": f"b{n}"}, "output": {"recommendedItems": lists}} for n in range(50)]
    output.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    for command in (["load", str(output)], ["status"]):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["batch", *command])
        assert result.exit_code == 0, result.output
        assert "50 lists active" in result.output
    for door in doors:
        door.personalize.failure = RecommenderTimeout()
    assert [await source(one, "b1"), await source(other, "b2")] == ["batch", "batch"]
    result = await asyncio.to_thread(CliRunner().invoke, main, ["batch", "drop"])
    assert result.exit_code == 0, result.output


async def blocked_is(door: Door, items: list[str]) -> bool:
    return await blocked(door) == items


def with_rights(url: str) -> str:
    """The address for a user of whom Redis knows nothing but the documented rights."""
    return url.replace("://", f"://{RIGHTS_USER}:{PASSWORD}@")


@pytest.mark.parametrize(
    ("masters", "form", "has_few_rights"),
    [(1, "redis://{0}", False), (3, "redis+cluster://{0},{1}", False), (3, "redis://{0}", True)],
)
async def test_everything_works_on_a_cluster_that_nobody_had_to_name_as_one_and_with_the_documented_rights(
    open_door: OpenDoor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    masters: int,
    form: str,
    *,
    has_few_rights: bool,
) -> None:
    """E1, E2: one node and several."""
    be_patient_with_redis(monkeypatch)
    with RedisCluster(masters) as cluster:
        allow(cluster.servers, cluster=True)
        hosts = [f"127.0.0.1:{server.port}" for server in cluster.servers]
        url = form.format(hosts[0], hosts[-1])
        await two_replicas_do_everything(open_door, with_rights(url) if has_few_rights else url, tmp_path)
        assert all(server.ask("DBSIZE") for server in cluster.masters)
        assert [server.ask("ACL", "LOG") for server in cluster.servers] == [[]] * len(cluster.servers)


async def test_a_user_with_exactly_the_documented_rights_is_enough(
    open_door: OpenDoor, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E1."""
    be_patient_with_redis(monkeypatch)
    allow([redis_server], cluster=False)
    await two_replicas_do_everything(open_door, with_rights(redis_server.url), tmp_path)
    assert redis_server.ask("ACL", "LOG") == []


def allow(servers: Iterable[RedisServer], *, cluster: bool) -> None:
    """Make the user of the documented rights."""
    for server in servers:
        server.ask("ACL", "SETUSER", RIGHTS_USER, "on", f">{PASSWORD}", *acl_rules(cluster=cluster).split())


async def two_replicas_do_everything(open_door: OpenDoor, url: str, tmp_path: Path) -> None:
    """And neither finds Redis away meanwhile."""
    settings = PATIENT | {"REDIS_URL": url}
    async with open_door(**settings) as one, open_door(**settings) as other:
        await try_everything([one, other], tmp_path)
        for door in (one, other):
            await door.shows("redis_up 1.0")
