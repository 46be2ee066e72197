"""Renders templates that nobody has read, in a process with a clock.

A filter over a range of a billion numbers stops for nothing in its own process, so that process is killed. The next
template gets a new one. Time that a call takes is the call's, not the template's.
"""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from service.braze.ports import Answer, Call, Caller, Job, Made, Message
from service.errors import TemplateError

RENDER_SECONDS: Final = 1.0
"""What a template may take, its calls aside. An honest one takes milliseconds."""

START_SECONDS: Final = 30.0
"""Until the process must be ready, on a machine that is busy."""

MAX_LINE_BYTES: Final = 16_000_000
"""Of what the process says at once: a message, escaped."""

ROOT: Final = Path(__file__).parents[2]
"""The folder in which the process finds this package."""

WORKER: Final = (sys.executable, "-m", "service.braze.worker")


def worker_environment() -> dict[str, str]:
    """The environment of the process: no secret of the parent, and times in UTC, as Braze has them."""
    return {name: value for name, value in os.environ.items() if name in {"PATH", "SYSTEMROOT"}} | {"TZ": "UTC"}


TOO_LARGE: Final = "the template needs too much memory: is a text or a range too long?"


class Sandbox:
    """Renders in a process of its own, which it starts when it is needed.

    Args:
        caller: Answers the templates' calls, in this process.
        render_seconds: What one template may take.
    """

    def __init__(self, caller: Caller, render_seconds: float = RENDER_SECONDS) -> None:
        self._caller = caller
        self._render_seconds = render_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting = bytearray()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def render(self, job: Job) -> Message:
        """The message of one user.

        Raises:
            TemplateError: Braze would send nothing, or the template took too long or too much memory.
        """
        if self._process is None:
            self._start()
        self._write({"job": job, "answers": None})
        left = self._render_seconds
        while True:
            begin = time.monotonic()
            said = self._read(left)
            left -= time.monotonic() - begin
            if "call" in said:
                self._write(self._caller(Call(**said["call"])))
            elif "message" in said:
                made = said["message"]
                return Message(made["text"], made["aborted"], tuple(Made(**one) for one in made["calls"]))
            else:
                raise TemplateError(said["problem"], said["offset"])

    def _start(self) -> None:
        self._waiting.clear()
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=worker_environment(),
        )
        self._read(START_SECONDS)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _write(self, value: Answer | Mapping[str, object]) -> None:
        assert self._process is not None  # noqa: S101  # it was started
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        try:
            self._process.stdin.write(orjson.dumps(value) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            self._stop()
            raise TemplateError(TOO_LARGE) from error

    def _read(self, seconds: float) -> dict[str, Any]:
        """The next line of the process."""
        assert self._process is not None  # noqa: S101  # it was started
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._waiting:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self._stop()
                    raise TemplateError(
                        f"the template takes longer than {self._render_seconds:g} s: is a loop too long?"
                    )
                read = os.read(self._process.stdout.fileno(), 1 << 16)
                if not read or len(self._waiting) > MAX_LINE_BYTES:
                    self._stop()
                    raise TemplateError(TOO_LARGE)
                self._waiting += read
        line, _, rest = bytes(self._waiting).partition(b"\n")
        self._waiting = bytearray(rest)
        said: dict[str, Any] = orjson.loads(line)
        return said
