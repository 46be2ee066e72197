"""Renders and checks many templates at once in a few processes, none of which waits for a call.

A process renders up to a call that has no answer yet, and is free for the next message. When the answer is there, the
message is rendered from its beginning. That costs half a millisecond, where waiting would cost a process.

A template that takes too long, or too much memory, costs its process; the next one starts another.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import orjson

from service.braze.ports import Answer, Call, Job, Made, Message
from service.braze.sandbox import (
    MAX_LINE_BYTES,
    RENDER_SECONDS,
    ROOT,
    START_SECONDS,
    TOO_LARGE,
    WORKER,
    worker_environment,
)
from service.errors import TemplateError

_Done = TypeVar("_Done")

LintReport = list[dict[str, Any]]
"""A finding is as `liquid lint --json` prints it."""

FIRST_LOOK_SHARE: Final = 0.05
"""Of a template's time, after which its process's own time is first read."""

LOOK_SHARE: Final = 0.9
"""Of a template's time, after which is looked whether it has run at all."""

RUN_SHARE: Final = 0.3
"""Of its time as processor time: a process that had less is one that waits for the machine."""

MAX_PATIENCE: Final = 20.0
"""Times a template's time, at the very most."""


class Renderers:
    """A `Renderer` with some processes; a context manager.

    Args:
        count: Processes.
        render_seconds: What one template may take.
        niceness: How far these processes stand back behind others.
        lazy: They are started when they are needed.
    """

    def __init__(
        self, count: int, render_seconds: float = RENDER_SECONDS, *, niceness: int = 0, lazy: bool = False
    ) -> None:
        self._render_seconds = render_seconds
        self._lazy = lazy
        self._processes = [_Process(niceness) for _ in range(count)]
        self._idle: asyncio.LifoQueue[_Process] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        try:
            for process in self._processes:
                if not self._lazy:
                    await process.start()
                self._idle.put_nowait(process)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def render(self, job: Job, answers: Sequence[Answer]) -> Message | Call:
        """The message, or the first call that has no answer yet.

        Raises:
            TemplateError: Braze would send nothing, or the template took too long or too much memory.
        """
        return await self._use(lambda process: process.render(job, answers))

    async def lint(self, parts: Mapping[str, str], channel: str) -> LintReport:
        """What lint finds in the parts of a message, and between them.

        Args:
            parts: Templates by the name that the findings give them.
            channel: What the message is.

        Raises:
            TemplateError: It took too long or too much memory.
        """
        return await self._use(lambda process: process.lint(parts, channel))

    async def ready(self) -> None:
        """Start a process, unless one runs: before somebody's time begins to run."""
        process = await self._idle.get()
        try:
            await process.start()
        finally:
            self._idle.put_nowait(process)

    async def rest(self) -> None:
        """End the processes that nobody uses; the next template starts one."""
        resting: list[_Process] = []
        while not self._idle.empty():
            resting.append(self._idle.get_nowait())
        for process in resting:
            await process.stop()
            self._idle.put_nowait(process)

    async def _use(self, work: Callable[["_Process"], Awaitable[_Done]]) -> _Done:
        process = await self._idle.get()
        try:
            # Outside of the template's time: a start is none of its making.
            await process.start()
            async with asyncio.timeout(self._render_seconds) as clock:
                watch = _Watch(clock, process, self._render_seconds)
                try:
                    return await work(process)
                finally:
                    watch.stop()
        except TimeoutError:
            await process.stop()
            raise TemplateError(
                f"the template takes longer than {self._render_seconds:g} s: is a loop too long?"
            ) from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            await process.stop()
            raise TemplateError(TOO_LARGE) from None
        except asyncio.CancelledError:
            # It stopped in the middle of a message, so what it says next is not the next one's.
            await process.stop()
            raise
        finally:
            self._idle.put_nowait(process)

    async def _stop(self) -> None:
        for process in self._processes:
            await process.stop()


class _Watch:
    """Gives a template more time where the machine, and not the template, is slow: its process has hardly run."""

    def __init__(self, clock: asyncio.Timeout, process: "_Process", seconds: float) -> None:
        self._clock = clock
        self._process = process
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + MAX_PATIENCE * seconds
        self._used: float | None = None
        # The first reading waits a little: most templates are done before it, and it costs as much as rendering one.
        self._look_at = self._loop.time() + LOOK_SHARE * seconds
        self._handle = self._loop.call_later(FIRST_LOOK_SHARE * seconds, self._begin)

    def stop(self) -> None:
        self._handle.cancel()

    def _begin(self) -> None:
        self._used = self._process.cpu_seconds()
        if self._loop.time() < self._look_at:
            self._handle = self._loop.call_at(self._look_at, self._look)
        else:
            # This process was slow itself; the template's time must not be over before it is looked at.
            self._look()

    def _look(self) -> None:
        used = self._process.cpu_seconds()
        has_waited = used is not None and self._used is not None and used - self._used < RUN_SHARE * self._seconds
        if has_waited and self._loop.time() < self._end and not self._clock.expired():
            self._clock.reschedule(self._loop.time() + self._seconds)
            self._handle = self._loop.call_later(LOOK_SHARE * self._seconds, self._look)


class _Process:
    def __init__(self, niceness: int) -> None:
        self._niceness = niceness
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, unless it runs."""
        if self._child is not None:
            return
        self._child = await asyncio.create_subprocess_exec(
            *WORKER,
            str(self._niceness),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_LINE_BYTES,
            cwd=ROOT,
            env=worker_environment(),
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._read()
        except BaseException:
            await self.stop()
            raise

    def cpu_seconds(self) -> float | None:
        """Processor time that it has used; None where the system does not tell."""
        if self._child is None:
            return None
        try:
            fields = Path(f"/proc/{self._child.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def stop(self) -> None:
        """End it."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def render(self, job: Job, answers: Sequence[Answer]) -> Message | Call:
        await self._write({"job": job, "answers": answers})
        said = await self._read()
        if "call" in said:
            return Call(**said["call"])
        if "message" in said:
            made = said["message"]
            return Message(**{**made, "calls": tuple(Made(**one) for one in made["calls"])})
        raise TemplateError(said["problem"], said["offset"])

    async def lint(self, parts: Mapping[str, str], channel: str) -> LintReport:
        await self._write({"lint": parts, "channel": channel})
        findings: LintReport = (await self._read())["findings"]
        return findings

    async def _write(self, value: Mapping[str, object]) -> None:
        assert self._child is not None  # noqa: S101  # it was started
        assert self._child.stdin is not None  # noqa: S101  # it is a pipe
        self._child.stdin.write(orjson.dumps(value) + b"\n")
        await self._child.stdin.drain()

    async def _read(self) -> dict[str, Any]:
        assert self._child is not None  # noqa: S101  # it was started
        assert self._child.stdout is not None  # noqa: S101  # it is a pipe
        said: dict[str, Any] = orjson.loads(await self._child.stdout.readuntil(b"\n"))
        return said
