"""An event loop that jumps to its next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

EPOCH = 1_700_000_000.0
"""Unix seconds at which virtual time begins."""


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


class _BlindSelector(_JumpingSelector):
    """Never looks whether anything has come from outside, which takes longer than most of what a loop does."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("the loop waits for nothing")
        if timeout > 0:
            self.loop.advance(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its time stands still while code runs, and jumps to the next timer when none does.

    Args:
        blind: Nothing comes from outside, neither bytes nor the results of threads.
    """

    def __init__(self, *, blind: bool = False) -> None:
        selector = _BlindSelector() if blind else _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._virtual_now = 1000.0

    def time(self) -> float:
        return self._virtual_now

    def pass_by(self, seconds: float) -> None:
        """So much time has gone by in which nothing was due: every timer is as far away as it was."""
        self._virtual_now += seconds
        for timer in self._scheduled:  # type: ignore[attr-defined]  # asyncio's own heap, whose order stays
            timer._when += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass at once; called from running code it is a loop that stood still."""
        self._virtual_now += seconds


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
    """Run to the end in virtual time; a task left behind is a failure. For `blind` see `VirtualTimeLoop`."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(blind=blind)) as runner:
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
