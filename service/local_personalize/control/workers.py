"""Who does the work behind a status: imports, trainings, batch jobs. Never the event loop.

A job is a directory: `job.json` says what to do, `result.json` what came of it. So a job that a stop cut off is done
again at the next start, and one that was finished is not.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import orjson

JOB_FILE: Final = "job.json"
RESULT_FILE: Final = "result.json"

MAX_AT_ONCE: Final = 2
"""Child processes at once; others wait."""


class Workers(Protocol):
    """Carries out jobs."""

    def submit(self, directory: Path) -> None:
        """See to the job of this directory."""

    def cancel(self, directory: Path) -> None:
        """Leave the job undone if it still is."""

    def close(self) -> None:
        """End all jobs."""


def write_job(directory: Path, job: dict[str, Any]) -> None:
    """Make the directory of a job."""
    directory.mkdir(parents=True)
    (directory / JOB_FILE).write_bytes(orjson.dumps(job))


def result_of(directory: Path) -> dict[str, Any] | None:
    """What came of the job: `{"failure": REASON}` if it failed, None while nothing did."""
    try:
        result: dict[str, Any] = orjson.loads((directory / RESULT_FILE).read_bytes())
    except FileNotFoundError:
        return None
    return result


def write_result(directory: Path, result: dict[str, Any]) -> None:
    """Say what came of the job, in one step."""
    written = directory / f"{RESULT_FILE}.new"
    written.write_bytes(orjson.dumps(result))
    written.replace(directory / RESULT_FILE)


class ChildProcesses:
    """Each job in a Python of its own, which ends with this one."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="job")
        self._lock = Lock()
        self._children: dict[Path, subprocess.Popen[bytes]] = {}
        self._cancelled: set[Path] = set()
        self._is_closed = False

    def submit(self, directory: Path) -> None:
        """See `Workers.submit`."""
        self._threads.submit(self._carry_out, directory)

    def cancel(self, directory: Path) -> None:
        """See `Workers.cancel`."""
        with self._lock:
            self._cancelled.add(directory)
            if child := self._children.get(directory):
                child.kill()

    def close(self) -> None:
        """See `Workers.close`."""
        with self._lock:
            self._is_closed = True
            for child in self._children.values():
                child.kill()
        self._threads.shutdown(cancel_futures=True)

    def _was_closed(self) -> bool:
        return self._is_closed

    def _carry_out(self, directory: Path) -> None:
        with self._lock:
            if self._was_closed() or directory in self._cancelled:
                return
            command = [sys.executable, "-m", "service.local_personalize.work", str(directory)]
            # The child reads the pipe's end as this process's end.
            # One thread of numpy each: several at once on a small machine only wait for one another.
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            child = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603  # our own program
            self._children[directory] = child
        status = child.wait()
        with self._lock:
            del self._children[directory]
            is_wanted = directory not in self._cancelled
        with suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()
            if self._was_closed():
                return
        if is_wanted and result_of(directory) is None:
            write_result(directory, {"failure": f"InternalFailure: the job's process ended with status {status}"})


class ThisThread:
    """Each job at once, in the thread that submits it: for tests."""

    def submit(self, directory: Path) -> None:
        """See `Workers.submit`."""
        from service.local_personalize.work.jobs import carry_out  # noqa: PLC0415  # numpy, only for who does it here

        carry_out(directory)

    def cancel(self, directory: Path) -> None:
        """See `Workers.cancel`."""

    def close(self) -> None:
        """See `Workers.close`."""
