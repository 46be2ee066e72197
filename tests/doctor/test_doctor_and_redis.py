"""D5: `doctor` finds what keeps the replicas from sharing through Redis; real redis-servers answer."""

from contextlib import closing
from pathlib import Path

import pytest

from service.fleet.rights import acl_rules
from tests.doctor.conftest import Doctor
from tests.support.clocks import MovingClock
from tests.support.local_personalize import LocalPersonalize
from tests.support.ports import free_port
from tests.support.redis import RedisCluster, RedisSentinels, RedisServer

pytestmark = pytest.mark.processes

SECRET = "a-password-that-is-shown-nowhere"


def user(server: RedisServer, rules: str) -> str:
    """REDIS_URL of a new user with these rules."""
    server.ask("ACL", "SETUSER", "personalize", "on", f">{SECRET}", *rules.split())
    return f"redis://personalize:{SECRET}@127.0.0.1:{server.port}"


def test_a_redis_with_just_the_rights_needed_is_fine_and_gives_the_slots(
    doctor: Doctor, redis_server: RedisServer, local: LocalPersonalize
) -> None:
    report = doctor(REDIS_URL=user(redis_server, acl_rules()))

    assert (report.status, report.of("warning")) == (0, [])
    assert report.says("Redis", "ok", "standalone, lets us do all that the service does")
    assert report.says("Personalize", "ok", "the budget that the replicas share")
    assert local.stats()["transactions"] == 1
    with closing(redis_server.client()) as client:
        assert list(client.scan_iter("pc:{fleet}:*")) != []


@pytest.mark.parametrize(
    ("rules", "right"),
    [
        (acl_rules().replace("&pc:*", ""), "&pc:*"),
        (acl_rules().replace("~pc:*", "~other:*"), "~pc:*"),
        (acl_rules().replace("+evalsha", ""), "+evalsha"),
        (acl_rules().replace("+subscribe", ""), "+subscribe"),
    ],
)
def test_a_missing_right_is_found_and_the_replicas_share_is_kept_to(
    doctor: Doctor, redis_server: RedisServer, local: LocalPersonalize, rules: str, right: str
) -> None:
    report = doctor(REDIS_URL=user(redis_server, rules))

    assert report.status == 1
    assert report.says("Redis", "error", f"lacks the right {right}")
    assert report.says("Personalize", "ok", "in slots of a replica's own share")
    assert report.says("for-you", "ok", "answers")
    assert local.stats()["transactions"] == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://personalize:wrong@127.0.0.1:{port}", "does not know the user or password"),
        ("redis://127.0.0.1:{port}", "wants a password"),
        ("rediss://default:secret@127.0.0.1:{port}", "there is no TLS at this port"),
        ("redis://default:secret@127.0.0.1:{port}/99", "no database of this number"),
        ("redis://127.0.0.1:{free}", "nothing listens there"),
        ("redis://no-such-host.invalid:{port}", "the host is not found"),
        ("redis+cluster://default:secret@127.0.0.1:{port}", "is not in cluster mode"),
        ("redis+sentinel://127.0.0.1:{free}/shop", "nothing listens there"),
    ],
)
def test_an_address_that_does_not_work_is_found_in_words(doctor: Doctor, url: str, words: str) -> None:
    with RedisServer(options=("--requirepass", "secret")) as server:
        report = doctor("--transactions", "0", REDIS_URL=url.format(port=server.port, free=free_port()))

    assert report.status == 1
    assert report.says("Redis", "error", words)
    assert "wrong" not in str(report.findings)


def test_a_cluster_is_looked_at_node_by_node(doctor: Doctor) -> None:
    with RedisCluster(2) as cluster:
        fine = doctor("--transactions", "0", REDIS_URL=cluster.url)
        first, second = cluster.masters
        second.ask("CLUSTER", "DELSLOTSRANGE", 8192, 16383)
        # What the second one said before, it has sent by its next answer, and the first one has read by its next but
        # one. Later the first one would believe that the slots are served again.
        second.ask("PING")
        second.freeze()
        for _ in range(2):
            first.ask("PING")
        first.ask("CLUSTER", "DELSLOTSRANGE", 8192, 16383)
        second.thaw()
        torn = doctor("--transactions", "0", REDIS_URL=cluster.url)

    assert fine.says("Redis", "ok", "2 masters, lets us do all")
    assert torn.status == 1
    assert torn.says("Redis", "error", "slots")


def test_a_sentinel_that_is_silent_and_a_master_that_nobody_knows_are_found(doctor: Doctor) -> None:
    with RedisSentinels() as sentinels:
        one_gone = sentinels.url.replace(str(sentinels.ports[2]), str(free_port()))
        report = doctor("--transactions", "0", REDIS_URL=one_gone)
        unknown = doctor("--transactions", "0", REDIS_URL=f"{sentinels.url}-of-another-shop")

    assert report.status == 0
    assert report.says("Redis", "warning", "sentinels that do not answer")
    assert report.says("Redis", "ok", "sentinel, lets us do all")
    assert unknown.says("Redis", "error", "the sentinels know no master named")


def test_a_clock_that_differs_from_that_of_redis_is_found(
    doctor: Doctor, redis_server: RedisServer, clock: MovingClock
) -> None:
    clock.skew_seconds = 600

    report = doctor("--transactions", "0", REDIS_URL=redis_server.url)

    assert report.status == 1
    assert report.says("clock", "error", "fast by that of Redis")


EVENTS = {"EVENT_KEYS": "events-key-of-24-characters"}


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        (("--appendonly", "yes"), 0, "Redis keeps accepted events through a crash"),
        ((), 0, "turn on appendonly yes"),
        (("--maxmemory-policy", "allkeys-lru"), 1, "maxmemory-policy allkeys-lru"),
    ],
)
def test_how_redis_keeps_accepted_events_is_said(
    doctor: Doctor, tmp_path: Path, options: tuple[str, ...], status: int, line: str
) -> None:
    with RedisServer(options=("--dir", str(tmp_path), *options)) as server:
        without = doctor(REDIS_URL=server.url)
        report = doctor(REDIS_URL=server.url, **EVENTS)
    assert report.status == status
    assert [line in one["what"] for one in report.findings if one["check"] == "events"].count(True) == 1
    assert [one for one in without.findings if one["check"] == "events"] == []


def test_a_redis_that_must_not_be_asked_how_it_keeps_events_is_used_all_the_same(
    doctor: Doctor, redis_server: RedisServer
) -> None:
    report = doctor(REDIS_URL=user(redis_server, acl_rules().replace("+info", "")), **EVENTS)
    assert report.status == 0
    assert report.says("events", "warning", "does not say whether it keeps data")
