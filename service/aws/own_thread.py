"""A coroutine in an event loop of another thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_own_thread(work: Callable[[], Coroutine[Any, Any, Result]], *, timeout_seconds: float) -> Result:
    """Run a coroutine in an event loop of another thread.

    Cancelling ends the work without waiting for it; a thread that hangs in the operating system keeps nobody.

    Raises:
        TimeoutError: It has not ended in time.
    """
    here = asyncio.get_running_loop()
    done: asyncio.Future[Result] = here.create_future()
    thread = _LoopThread(work, timeout_seconds)

    def tell(task: "asyncio.Task[Result]") -> None:
        if not task.cancelled():
            task.exception()  # otherwise the loop complains of one that nobody is left to hear of
        with suppress(RuntimeError):  # the caller's loop is closed by now
            here.call_soon_threadsafe(_copy, task, done)

    thread.on_done = tell
    thread.start()
    try:
        # The thread keeps its own deadline; this one is for a thread that hangs outside its loop.
        async with asyncio.timeout(timeout_seconds + 1):
            return await done
    except BaseException:
        thread.cancel()
        raise


def _copy(task: "asyncio.Task[Result]", future: "asyncio.Future[Result]") -> None:
    if future.done():
        return
    if task.cancelled():
        future.cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


class _LoopThread(threading.Thread):
    def __init__(self, work: Callable[[], Coroutine[Any, Any, Result]], timeout_seconds: float) -> None:
        super().__init__(name="aws-credentials", daemon=True)
        self._work = work
        self._timeout_seconds = timeout_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self.on_done: Callable[[asyncio.Task[Any]], None] = lambda _: None

    def run(self) -> None:
        """Run the work to its end."""
        with asyncio.Runner() as runner, suppress(BaseException):
            runner.run(self._main())

    def cancel(self) -> None:
        """End the work soon."""
        self._cancelled = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._bounded())
        self._task.add_done_callback(self.on_done)
        if self._cancelled:
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _bounded(self) -> Any:  # noqa: ANN401  # what the work returns
        async with asyncio.timeout(self._timeout_seconds):
            return await self._work()
