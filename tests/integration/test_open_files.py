"""What a system that lets a process open few files does to its callers."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.calls import call_each
from tests.support.ports import free_port
from tests.support.processes import Process, configuration, running

pytestmark = pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")


PATIENCE = 30.0
"""Of a caller: none is cut, however long a busy machine takes for hundreds of connections."""


@contextmanager
def replica_with_files(personalize: Process, soft: int, hard: int) -> Iterator[Process]:
    port = free_port()
    environment = {"HOST": "127.0.0.1", "PORT": str(port), **configuration(personalize, PERSONALIZE_TPS="50")}
    command = ["prlimit", f"--nofile={soft}:{hard}", sys.executable, "-m", "service", "serve"]
    with running(command, port=port, probe="/readyz", environment=environment) as replica:
        yield replica


def soft_limit(replica: Process) -> int:
    limits = Path(f"/proc/{replica.popen.pid}/limits").read_text("utf-8")
    return int(next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3])


@pytest.mark.parametrize(("files", "at_once"), [(96, 300), (1024, 850)])
async def test_more_calls_at_once_than_there_are_files_are_all_answered(
    personalize: Process, files: int, at_once: int
) -> None:
    """F1"""
    with replica_with_files(personalize, files, files) as replica:
        first = await call_each([replica.url], ["user1", "user2"])
        calls = await call_each([replica.url], ["user1", "user2"] * (at_once // 2), at_once=at_once, seconds=PATIENCE)
        cut = replica.metric("http_connections_cut_total", cause="room")
        open_at_most = replica.metric("http_connections_max")
        assert replica.stop() == 0
        log = replica.written()

    assert {call.status for call in (*first, *calls)} == {200}
    assert open_at_most == files - files // 2 if files < 512 else files - 256
    assert cut > 0
    assert [line for line in log if '"open_files_few"' in line and "nofile" in line]
    assert [line for line in log if '"connections_full"' in line]


def test_what_the_system_allows_is_used(personalize: Process) -> None:
    """F1"""
    with replica_with_files(personalize, 256, 10_000) as replica:
        assert soft_limit(replica) == 10_000
        assert replica.metric("http_connections_max") == 8_192
        assert replica.stop() == 0
        assert not [line for line in replica.written() if "open_files_few" in line]
