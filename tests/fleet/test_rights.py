"""E1: the rights that the service needs, on a real Redis."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.clock import Clock
from service.fleet.rights import CHANNELS, CLUSTER, KEYS, LOADING, SERVING, SUBSCRIBING, acl_rules
from service.lists.adapters.channel import FlightChannel
from tests.support.fleet import join
from tests.support.redis import RedisServer

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "personalize", "a-password-of-the-test"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def url_of(server: RedisServer) -> str:
    return f"redis://{USER}:{PASSWORD}@127.0.0.1:{server.port}"


def set_user(server: RedisServer, rules: str) -> None:
    server.ask("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules.split())


def test_the_documented_line_holds_exactly_the_rights_that_are_tried() -> None:
    """E1."""
    page = (ROOT / "docs/operate/redis.md").read_text("utf-8")
    assert f"ACL SETUSER personalize on >PASSWORD {acl_rules()}\n" in page
    assert all(f"+{name}" in page for name in CLUSTER if name != "command")
    assert "`+cluster|slots +command`" in page


def test_every_command_of_the_scripts_is_among_the_rights() -> None:
    """E1: a script that calls another command needs another right."""
    called = {
        command.lower()
        for script in (ROOT / "service").rglob("*.lua")
        for command in re.findall(r"redis\.p?call\('(\w+)'", script.read_text("utf-8"))
    }
    assert called
    assert called <= set(SERVING)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        *((f"-{name}", f"+{name}") for name in (*SERVING, *SUBSCRIBING)),
        ("resetchannels", CHANNELS),
        ("resetchannels &other:*", CHANNELS),
        ("resetkeys", KEYS),
        ("resetkeys %R~pc:*", KEYS),
        ("resetkeys ~shop:*", KEYS),
    ],
)
async def test_a_replica_without_a_right_stays_on_its_share_and_says_once_which_it_is(
    server: RedisServer, clock: Clock, missing: str, named: str
) -> None:
    """E1: it went to and fro, and spent the budget of two."""
    await asyncio.to_thread(set_user, server, f"{acl_rules()} {missing}")
    changes: list[bool] = []
    with capture_logs() as logs:
        async with join(url_of(server), clock, heartbeat_seconds=600, on_change=changes.append) as member:
            for _ in range(5):
                await member.heartbeat.beat()
            assert not member.client.up
            assert member.heartbeat.share is not None
            assert member.heartbeat.share.whole

    assert changes == []
    [line] = logs
    assert (line["event"], line["log_level"]) == ("redis_refused", "error")
    assert f"the user lacks the right {named} ('NOPERM" in line["cause"]
    assert PASSWORD not in repr(logs)


async def test_a_right_that_is_taken_while_the_replica_runs_is_noticed_and_so_is_its_return(
    server: RedisServer, clock: Clock
) -> None:
    """E1."""
    await asyncio.to_thread(set_user, server, acl_rules())
    with capture_logs() as logs:
        async with join(url_of(server), clock, heartbeat_seconds=600) as member:
            ups = [member.client.up]
            await asyncio.to_thread(server.ask, "ACL", "SETUSER", USER, "-hget")  # every beat needs it
            for _ in range(3):
                await member.heartbeat.beat()
                ups.append(member.client.up)
            for _ in range(2):  # a script does not say which right it wants, the look does
                member.client._refused_until = float("-inf")
                await member.heartbeat.beat()
            await asyncio.to_thread(server.ask, "ACL", "SETUSER", USER, "+hget")
            member.client._refused_until = float("-inf")
            await member.heartbeat.beat()
            assert [*ups, member.client.up] == [True, False, False, False, True]

    assert [line["event"] for line in logs] == ["redis_up", "redis_refused", "redis_refused", "redis_up"]
    assert "the user lacks the right +hget" in logs[2]["cause"]


async def test_a_channel_that_is_taken_while_the_replica_listens_is_a_refusal(
    server: RedisServer, clock: Clock
) -> None:
    """E1."""

    class Nobody:
        def lists_event(self, event: str) -> None:
            del event

    await asyncio.to_thread(set_user, server, acl_rules())
    async with (
        join(url_of(server), clock, heartbeat_seconds=600) as member,
        FlightChannel(member.client, "pc:test:flights", recorder=Nobody(), on_forget=lambda _: None) as channel,
    ):
        await asyncio.wait_for(channel.listening.wait(), 5)
        down = asyncio.Event()
        member.client.on_change(lambda _: down.set())
        # Redis itself ends a subscription whose channel was taken.
        await asyncio.to_thread(server.ask, "ACL", "SETUSER", USER, "resetchannels")
        await asyncio.wait_for(down.wait(), 5)
        await member.heartbeat.beat()
        assert not member.client.up


def test_the_commands_of_a_load_are_not_tried_by_a_replica() -> None:
    """E1: a replica that loads nothing does without them."""
    assert not set(LOADING) & set(SERVING)
