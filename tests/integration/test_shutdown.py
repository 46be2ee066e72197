import asyncio
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.calls import Call, assert_all_answered, client, make_call
from tests.support.processes import Process, local_personalize, service
from tests.support.waiting import until

EXIT_SECONDS = 10


def slow_personalize_and_replica(stack: ExitStack) -> tuple[Process, Process]:
    personalize = stack.enter_context(local_personalize(latency_ms=500))
    return personalize, stack.enter_context(service(personalize, PERSONALIZE_TPS="50", DRAIN_SECONDS="1"))


def children(pid: int) -> set[int]:
    """Processes whose parent this is."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.add(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def sockets_in_use(*ports: int) -> list[str]:
    """TCP sockets at one of the ports that are connected or not closed by their owner."""
    established, close_wait = "01", "08"
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        at = {int(local.split(":")[1], 16), int(remote.split(":")[1], 16)}
        if state in {established, close_wait} and not at.isdisjoint(ports):
            found.append(line)
    return found


async def assert_gone(personalize: Process, replica: Process, born: set[int], signalled_at: float) -> None:
    """It ended well and in time, and nothing of it is left."""
    assert await asyncio.to_thread(replica.popen.wait, EXIT_SECONDS) == 0
    assert time.monotonic() - signalled_at < EXIT_SECONDS
    assert [pid for pid in born if is_alive(pid)] == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", replica.port)
    await until(lambda: not sockets_in_use(replica.port, personalize.port))


async def test_sigterm_falls_out_of_readiness_and_finishes_what_was_accepted(stack: ExitStack) -> None:
    personalize, replica = slow_personalize_and_replica(stack)
    born = children(replica.popen.pid)
    calls: list[asyncio.Task[Call]] = []
    unready: list[float] = []
    async with client() as session:

        async def call_for(seconds: float) -> None:
            until_then = time.monotonic() + seconds
            while time.monotonic() < until_then:
                calls.append(asyncio.create_task(make_call(session, replica.url, f"user{len(calls)}")))
                await asyncio.sleep(0.05)

        async def look() -> None:
            while not unready:
                async with session.get(f"{replica.url}/readyz") as answer:
                    if answer.status == 503:
                        unready.append(time.monotonic())
                await asyncio.sleep(0.02)

        await call_for(0.5)
        replica.popen.send_signal(signal.SIGTERM)
        signalled_at = time.monotonic()
        # The listener closes a second after the signal, while the last of these wait for Personalize.
        await asyncio.gather(call_for(0.7), look())
        done = await asyncio.gather(*calls)

    assert_all_answered(done)
    assert {call.source for call in done} == {"personalize"}
    assert any(call.began > unready[0] for call in done)
    assert max(call.began + call.seconds for call in done) > signalled_at + 1
    await assert_gone(personalize, replica, born, signalled_at)


async def test_sigint_finishes_what_was_accepted(stack: ExitStack) -> None:
    personalize, replica = slow_personalize_and_replica(stack)
    born = children(replica.popen.pid)
    async with client() as session:
        calls = [asyncio.create_task(make_call(session, replica.url, f"user{number}")) for number in range(5)]
        await asyncio.sleep(0.25)
        replica.popen.send_signal(signal.SIGINT)
        signalled_at = time.monotonic()
        done = await asyncio.gather(*calls)

    assert_all_answered(done)
    assert {call.source for call in done} == {"personalize"}
    await assert_gone(personalize, replica, born, signalled_at)
