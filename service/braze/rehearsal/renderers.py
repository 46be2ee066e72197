"""Renders many messages at once in a few processes, none of which waits for a call.

A process renders up to a call that has no answer yet, and is free for the next message. When the answer is there, the
message is rendered from its beginning. That costs half a millisecond, where waiting would cost a process.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self

import orjson

from service.braze.ports import Answer, Call, Job, Made, Message
from service.braze.sandbox import MAX_LINE_BYTES, RENDER_SECONDS, ROOT, START_SECONDS, WORKER, worker_environment
from service.errors import TemplateError


class Renderers:
    """A `Renderer` with some processes; a context manager.

    Args:
        count: Processes.
        render_seconds: What one template may take.
    """

    def __init__(self, count: int, render_seconds: float = RENDER_SECONDS) -> None:
        self._count = count
        self._render_seconds = render_seconds
        self._idle: asyncio.LifoQueue[_Process] = asyncio.LifoQueue()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for process in [_Process() for _ in range(self._count)]:
            self._stack.push_async_callback(process.stop)
            await process.start()
            self._idle.put_nowait(process)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def render(self, job: Job, answers: Sequence[Answer]) -> Message | Call:
        """The message, or the first call that has no answer yet.

        Raises:
            TemplateError: Braze would send nothing, or the template took too long or too much memory.
        """
        process = await self._idle.get()
        try:
            async with asyncio.timeout(self._render_seconds):
                return await process.render(job, answers)
        except TimeoutError:
            await process.start()
            raise TemplateError(
                f"the template takes longer than {self._render_seconds:g} s: is a loop too long?"
            ) from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            await process.start()
            raise TemplateError("the template needs too much memory: is a text or a range too long?") from None
        except asyncio.CancelledError:
            # It stopped in the middle of a message, so what it says next is not the next one's.
            await process.stop()
            raise
        finally:
            self._idle.put_nowait(process)


class _Process:
    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, anew if it runs."""
        await self.stop()
        self._child = await asyncio.create_subprocess_exec(
            *WORKER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_LINE_BYTES,
            cwd=ROOT,
            env=worker_environment(),
        )
        async with asyncio.timeout(START_SECONDS):
            await self._read()

    async def stop(self) -> None:
        """End it."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def render(self, job: Job, answers: Sequence[Answer]) -> Message | Call:
        if self._child is None:
            await self.start()
        await self._write(job)
        left = iter(answers)
        call: Call | None = None
        while True:
            said = await self._read()
            if "call" in said:
                answer = next(left, None)
                if answer is None:
                    call = Call(**said["call"])
                await self._write(answer)
            elif "put_off" in said and call is not None:
                return call
            elif "message" in said:
                made = said["message"]
                return Message(made["text"], made["aborted"], tuple(Made(**one) for one in made["calls"]))
            else:
                raise TemplateError(said["problem"], said["offset"])

    async def _write(self, value: Job | Answer | None) -> None:
        assert self._child is not None  # noqa: S101  # it was started
        assert self._child.stdin is not None  # noqa: S101  # it is a pipe
        self._child.stdin.write(orjson.dumps(value) + b"\n")
        await self._child.stdin.drain()

    async def _read(self) -> dict[str, Any]:
        assert self._child is not None  # noqa: S101  # it was started
        assert self._child.stdout is not None  # noqa: S101  # it is a pipe
        said: dict[str, Any] = orjson.loads(await self._child.stdout.readuntil(b"\n"))
        return said
