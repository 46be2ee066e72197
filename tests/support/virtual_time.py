"""An event loop that jumps to its next timer instead of waiting for it."""

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar

Result = TypeVar("Result")

EPOCH = 1_700_000_000.0
"""Unix seconds at which virtual time begins."""


PROCESS: ContextVar[object] = ContextVar("process")
"""What belongs together and stands still together, where several processes share a loop."""


class DeadlockError(AssertionError):
    """Nothing is left that could ever wake the loop."""


class _JumpingSelector(selectors.DefaultSelector):
    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("the loop waits for nothing")
        if timeout > 0:
            self.loop.advance(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its time stands still while code runs, and jumps to the next timer when none does."""

    selector_class: type[_JumpingSelector] = _JumpingSelector

    def __init__(self) -> None:
        selector = self.selector_class()
        super().__init__(selector)
        selector.loop = self
        self._virtual_now = 1000.0

    def time(self) -> float:
        return self._virtual_now

    def advance(self, seconds: float) -> None:
        """Let time pass at once; called from running code it is a loop that stood still."""
        self._virtual_now += seconds


class BlindLoop(VirtualTimeLoop):
    """Never looks whether anything has come from outside, neither bytes nor the results of threads.

    What asyncio does around that takes longer than most of what a loop runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._handles: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        """A heap; of two that are due at a time, the first one made comes first."""
        self._made = 0
        self._standing: dict[object, list[asyncio.Handle]] = {}
        """What is due in processes that stand still."""

    def stop_running(self, process: object) -> None:
        """A process stands still: nothing that is due in it runs."""
        self._standing[process] = []

    def run_again(self, process: object) -> None:
        """It goes on, first with all that was due meanwhile."""
        self._handles.extend(self._standing.pop(process))

    def stands_still(self, process: object) -> bool:
        """Whether a process does."""
        return process in self._standing

    def call_soon(self, callback: Callable[..., Any], *args: object, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._handles.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._virtual_now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, timer))
        return timer

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """Those that are still to come."""
        return [timer for _, _, timer in self._timers if not timer.cancelled()]

    def pass_by(self, seconds: float) -> None:
        """So much time has gone by in which nothing was due: every timer is as far away as it was."""
        self._virtual_now += seconds
        self._timers = [(when + seconds, number, timer) for when, number, timer in self._timers]

    def _run_once(self) -> None:
        handles, timers = self._handles, self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not handles and not self._stopping:  # type: ignore[attr-defined]  # asyncio's own
            if not timers:
                raise DeadlockError("the loop waits for nothing")
            self._virtual_now = max(self._virtual_now, timers[0][0])
        while timers and timers[0][0] <= self._virtual_now:
            handles.append(heapq.heappop(timers)[2])
        for _ in range(len(handles)):
            handle = handles.popleft()
            if handle._cancelled:
                continue
            if self._standing and (due := self._standing.get(handle._context.get(PROCESS))) is not None:  # type: ignore[attr-defined]
                due.append(handle)
            else:
                handle._run()


class VirtualClock:
    """`Clock` on a virtual loop; `skew` moves only the Unix time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, skew: float = 0.0) -> None:
        self._loop = loop
        self.skew = skew

    def time(self) -> float:
        return EPOCH + self._loop.time() + self.skew

    def monotonic(self) -> float:
        return self._loop.time()


def run_virtual(coroutine: Coroutine[Any, Any, Result], *, blind: bool = False) -> Result:
    """Run to the end in virtual time; a task left behind is a failure. For `blind` see `BlindLoop`."""
    with asyncio.Runner(loop_factory=BlindLoop if blind else VirtualTimeLoop) as runner:
        return runner.run(_nothing_left(coroutine))


def stall(seconds: float) -> None:
    """The loop stands still for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.advance(seconds)


async def _nothing_left(coroutine: Coroutine[Any, Any, Result]) -> Result:
    result = await coroutine
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    return result


class _HearingSelector(_JumpingSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return selectors.DefaultSelector.select(self, 0) or super().select(timeout)


class HearingLoop(VirtualTimeLoop):
    """Hears first what has come from outside, and jumps when nothing has.

    For sockets of Unix within this process, where what was written is there to be read at once.
    """

    selector_class = _HearingSelector
