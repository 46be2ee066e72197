"""Processes of ours that begin as a fork of one that has loaded the service, and so without a second of imports.

From its arguments, environment and folder on such a process does what a new interpreter does. A test of the start, of
memory or of the limits of a process starts a new interpreter.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO

LOADED = (
    "service.cli.serve",
    "service.cli.batch",
    "service.cli.prewarm",
    "service.local_personalize.command",
    "service.local_personalize.app",
    "tests.support.forks",
)


class Fork:
    """Like a `subprocess.Popen`.

    Args:
        arguments: What stands behind `python -m`.
        environment: All of it.
        folder: Where it runs.
        stdout: A file with a name.
        stderr: The same.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        folder: Path,
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        sys.audit("subprocess.Popen", arguments[0], arguments, folder, environment)
        self._arguments = arguments
        self._process = _server().Process(
            target=_run, args=(list(arguments), dict(environment), str(folder), stdout.name, stderr.name)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative after a signal."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LOADED))
    return context


def _run(arguments: Sequence[str], environment: Mapping[str, str], folder: str, stdout: str, stderr: str) -> None:
    for name, stream in ((stdout, sys.stdout), (stderr, sys.stderr)):
        # Of one file, so that none writes over the other.
        opened = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, stream.fileno())
        os.close(opened)
        stream.reconfigure(write_through=True)  # type: ignore[union-attr]  # of a text file, as both are
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[:] = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
