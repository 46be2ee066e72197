"""Processes that end by themselves or are ended, and what they have cost."""

import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        status: Its exit status; None if it took too long.
        cpu_seconds: Its own and those of its children.
        spins: Whether it was ended for the CPU seconds that it took, which says the same on a busy machine.
    """

    status: int | None
    cpu_seconds: float
    spins: bool = False


def run_in_child(work: Callable[[], int], *, cpu_seconds: float, seconds: float) -> Ended:
    """Do this in a fork, quietly and with a folder for its files; end it, and whatever it has started."""
    folder = tempfile.mkdtemp(prefix="m-")
    pid = os.fork()
    if pid == 0:
        try:
            _leave_home(folder, cpu_seconds)
            status = work()
        except BaseException:  # noqa: BLE001  # nothing of the parent's goes on in here
            status = 1
        os._exit(status)
    try:
        return _wait(pid, time.monotonic() + seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _leave_home(folder: str, cpu_seconds: float) -> None:
    os.setsid()
    most = int(cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    tempfile.tempdir = folder
    os.environ |= {"TMPDIR": folder, "PYTEST_DEBUG_TEMPROOT": folder}


def _wait(pid: int, until: float) -> Ended:
    end = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        in_time = bool(poll.poll(max(until - time.monotonic(), 0) * 1000))
    finally:
        os.close(end)
    with suppress(ProcessLookupError):
        # With whatever it has started.
        os.killpg(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    spins = in_time and code in (-signal.SIGKILL, -signal.SIGXCPU)
    return Ended(code if in_time and code >= 0 else None, used.ru_utime + used.ru_stime, spins)
