import asyncio
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.calls import assert_all_answered, client, make_call
from tests.support.fuzzing import is_fault
from tests.support.processes import START_SECONDS, Process, command, configuration, local_personalize, service
from tests.support.waiting import until

EXIT_SECONDS = 10


def slow_personalize_and_replica(stack: ExitStack) -> tuple[Process, Process]:
    personalize = stack.enter_context(local_personalize(latency_ms=500))
    return personalize, stack.enter_context(service(personalize, PERSONALIZE_TPS="50", DRAIN_SECONDS="20"))


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


async def under_way(personalize: Process, count: int) -> None:
    """Return once this many transactions have begun."""
    await until(lambda: asyncio.to_thread(lambda: personalize.get_json("/_stats")["transactions"] >= count))


async def assert_gone(personalize: Process, replica: Process, born: set[int]) -> None:
    """It ended well and in time, and nothing of it is left."""
    assert await asyncio.to_thread(replica.popen.wait, EXIT_SECONDS) == 0
    assert [pid for pid in born if is_alive(pid)] == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", replica.port)
    await until(lambda: not sockets_in_use(replica.port, personalize.port))


@pytest.mark.usefixtures("new_interpreters")
async def test_sigterm_falls_out_of_readiness_and_finishes_what_was_accepted(stack: ExitStack) -> None:
    personalize, replica = slow_personalize_and_replica(stack)
    born = children(replica.popen.pid)
    async with client() as session:

        async def is_unready() -> bool:
            async with session.get(f"{replica.url}/readyz") as answer:
                return answer.status == 503

        before = [asyncio.create_task(make_call(session, replica.url, f"before{number}")) for number in range(5)]
        await under_way(personalize, 5)
        replica.popen.send_signal(signal.SIGTERM)
        await until(is_unready)
        # The listener is still open, until a second signal closes it while these wait for Personalize.
        after = [asyncio.create_task(make_call(session, replica.url, f"after{number}")) for number in range(5)]
        await under_way(personalize, 10)
        replica.popen.send_signal(signal.SIGTERM)
        done = await asyncio.gather(*before, *after)

    assert_all_answered(done)
    assert {call.source for call in done} == {"personalize"}
    await assert_gone(personalize, replica, born)


async def test_sigint_finishes_what_was_accepted(stack: ExitStack) -> None:
    personalize, replica = slow_personalize_and_replica(stack)
    born = children(replica.popen.pid)
    async with client() as session:
        calls = [asyncio.create_task(make_call(session, replica.url, f"user{number}")) for number in range(5)]
        await under_way(personalize, 5)
        replica.popen.send_signal(signal.SIGINT)
        done = await asyncio.gather(*calls)

    assert_all_answered(done)
    assert {call.source for call in done} == {"personalize"}
    await assert_gone(personalize, replica, born)


async def test_a_call_that_may_take_ten_seconds_is_answered_after_sigterm(stack: ExitStack) -> None:
    """J5"""
    personalize = stack.enter_context(local_personalize(latency_ms=6_500))
    replica = stack.enter_context(
        service(personalize, PERSONALIZE_TPS="50", DRAIN_SECONDS="0", REQUEST_DEADLINE_SECONDS="10")
    )
    async with client(seconds=12) as session:
        calls = [asyncio.create_task(make_call(session, replica.url, f"user{number}")) for number in range(5)]
        await until(lambda: replica.metric("flights_open") == 5)
        replica.popen.send_signal(signal.SIGTERM)
        done = await asyncio.gather(*calls)

    assert {(call.status, call.source, call.complete) for call in done} == {(200, "personalize", True)}
    assert await asyncio.to_thread(replica.popen.wait, EXIT_SECONDS) == 0
    assert [line for line in replica.written() if is_fault(line)] == []


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_a_body_that_is_late_at_sigterm_leaves_no_trace_in_the_log(
    stack: ExitStack, personalize: Process, log_format: str
) -> None:
    """I1"""
    key, user = "admin-key-of-twenty-four-letters", "somebody@example.com"
    replica = stack.enter_context(service(personalize, ADMIN_KEYS=key, LOG_FORMAT=log_format))
    _, writer = await asyncio.open_connection("127.0.0.1", replica.port)
    head = f"POST /users/prewarm?user={user} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 99\r\n\r\n"
    writer.write(head.encode() + f'{{"user_ids": ["{user}"'.encode())
    await until(lambda: replica.metric("http_connections") >= 2)
    assert await asyncio.to_thread(replica.stop) == 0
    writer.close()

    log = "\n".join(replica.written())
    assert "stopped" in log
    assert key not in log
    assert user not in log
    assert "Traceback" not in log
    assert '"level": "error"' not in log
    assert "[error" not in log


async def test_sigterm_ends_a_replica_whose_catalogue_has_become_a_pipe(stack: ExitStack, tmp_path: Path) -> None:
    """J6."""
    items = tmp_path / "items.csv"
    items.write_text("id,url,name,price,image\na,https://u/,N,5,https://i/\n")
    personalize = stack.enter_context(local_personalize())
    replica = stack.enter_context(
        service(personalize, CATALOG_URL=f"file://{items}", DRAIN_SECONDS="0", METRICS_ACCESS="open")
    )
    items.unlink()
    os.mkfifo(items)
    replica.popen.send_signal(signal.SIGHUP)

    async def is_refused() -> bool:
        async with client() as session, session.get(f"{replica.url}/metrics") as answer:
            return "catalog_refresh_failing 1.0" in await answer.text()

    await until(is_refused)
    replica.popen.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(replica.popen.wait, EXIT_SECONDS) == 0


async def test_sigterm_ends_a_start_whose_catalogue_does_not_come(tmp_path: Path) -> None:
    """J6: the start went on for as long as S3 was asked, and then the process was killed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = configuration(
            None,
            CATALOG_URL="s3://shop/items.csv",
            AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{silent.getsockname()[1]}",
            DATA_DIR=str(tmp_path / "data"),
            HOST="127.0.0.1",
            PORT="0",
            DRAIN_SECONDS="20",
        )
        with command(["serve"], environment, folder=tmp_path) as starting:
            silent.settimeout(START_SECONDS)
            asking, _ = await asyncio.to_thread(silent.accept)
            with asking:
                starting.popen.send_signal(signal.SIGTERM)
                status, lines = await asyncio.to_thread(starting.finish, EXIT_SECONDS)

    assert status == 0
    assert '"event": "start_given_up"' in "\n".join(lines)
    assert [line for line in lines if is_fault(line)] == []
