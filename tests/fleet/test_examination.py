"""What a look at Redis from end to end tells of what is no Redis as it should be."""

import asyncio
import threading
import time

import pytest

from service.fleet import examination
from service.fleet.examination import examine
from service.fleet.look_up import HostLookUp
from tests.support.odd_redis import odd_cluster, odd_redis
from tests.support.ports import free_port
from tests.support.streams import serving
from tests.support.waiting import PATIENCE_SECONDS, until


async def test_a_server_without_tls_that_waits_for_the_end_of_a_command_is_called_so() -> None:
    """E5: it takes the first bytes of TLS for the beginning of a command, and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1024)).startswith(b"PING\r\n"):
            writer.write(b"-NOAUTH Authentication required.\r\n")
        else:
            await reader.read()

    async with serving(serve) as port:
        found = await examine(f"rediss://127.0.0.1:{port}")

    assert found.cause is not None
    assert found.cause.kind == "tls"
    assert (found.nodes, found.missing_slots, found.silent_sentinels) == ((), 0, ())


async def test_all_that_is_found_of_a_cluster_is_said() -> None:
    async with odd_cluster(3) as nodes:
        slots = nodes[0].says["CLUSTER SLOTS"]
        assert isinstance(slots, list)
        for number, node in enumerate(nodes):
            node.says["CLUSTER SLOTS"] = slots[:2]
            node.says["TIME"] = [b"%d" % (1_700_000_000 + number), b"250000"]
            node.says["INFO"] = b"aof_enabled:1"
        found = await examine(f"redis+cluster://127.0.0.1:{nodes[0].port}")
        await until(lambda: sum(node.open for node in nodes) == 0)

    assert found.cause is None
    assert (found.where, found.server, found.mode) == (f"127.0.0.1:{nodes[0].port}", "Redis 7.4.0", "cluster")
    assert sorted(node.time for node in found.nodes) == [1_700_000_000.25, 1_700_000_001.25]
    assert [node.keeping.appends for node in found.nodes] == [True, True]
    # How long the connection takes to open does not count.
    asked = [[command[0] for command in node.heard if command[0] in (b"PING", b"TIME")] for node in nodes]
    assert [commands[-2:] for commands in asked[:2]] == [[b"PING", b"TIME"]] * 2
    assert all(0 <= node.seconds < PATIENCE_SECONDS for node in found.nodes)
    # The last third of 16,384.
    assert found.missing_slots == 16_384 - 16_384 * 2 // 3


async def test_sentinels_that_do_not_know_the_master_or_answer_oddly_are_silent_ones() -> None:
    async with odd_redis() as redis, odd_redis() as knows, odd_redis() as ignorant, odd_redis() as refuses:
        knows.says["SENTINEL"] = [b"127.0.0.1", b"%d" % redis.port]
        ignorant.says["SENTINEL"], refuses.says["SENTINEL"] = None, "-NOAUTH Authentication required."
        hosts = [f"127.0.0.1:{one.port}" for one in (ignorant, knows, refuses)]
        found = await examine(f"redis+sentinel://{','.join(hosts)}/shop")
        await until(lambda: redis.open + knows.open + ignorant.open + refuses.open == 0)

    assert found.cause is None
    assert (found.mode, found.missing_slots, len(found.nodes)) == ("sentinel", 0, 1)
    assert found.silent_sentinels == (hosts[0], hosts[2])


@pytest.mark.parametrize(
    ("said", "kind"), [(b"+OK\r\n", "tls"), (b"-ERR\r\n", "tls"), (b"?\r\n", "closed"), (b"", "closed")]
)
async def test_only_what_answers_as_redis_does_is_a_redis_without_tls(said: bytes, kind: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1024)).startswith(b"PING\r\n"):
            writer.write(said)

    async with serving(serve) as port:
        found = await examine(f"rediss+cluster://127.0.0.1:{free_port()},127.0.0.1:{port}")
        other = await examine(f"rediss://127.0.0.1:{port}")

    assert found.cause is not None
    assert other.cause is not None
    assert (found.cause.kind, other.cause.kind) == ("refused", kind)
    assert kind == "tls" or "may want our certificate" in other.cause.words


async def test_a_look_leaves_no_look_up_of_a_name_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(examination, "TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(HostLookUp.__init__, "__defaults__", (lambda _: [str(answer.wait(60))], time.monotonic))
    found = await examine("redis://cache.example")
    assert found.cause is not None
    assert found.cause.words == "the look-up of the host's name takes too long"
    assert (found.nodes, found.missing_slots) == ((), 0)
    assert [one for one in asyncio.all_tasks() if one.get_name() == "look-up"] == []
    answer.set()
