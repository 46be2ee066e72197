"""The slot queue by itself: denser schedules than whole answers allow."""

import asyncio
import math
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane
from service.budget.slot_queue import SlotQueue
from service.errors import BudgetExhausted
from tests.support.examples import examples
from tests.support.fakes import most_in_any_second
from tests.support.virtual_time import VirtualClock, run_virtual, stall


@dataclass(frozen=True)
class Ask:
    after: float
    """In slots."""
    lane: Lane
    patience: float
    """In slots."""
    gives_up_after: float | None
    stall: float


_asks = st.lists(
    st.builds(
        Ask,
        after=st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 4.0]),
        lane=st.sampled_from([Lane.NO_LIST, Lane.NO_LIST, Lane.STALE, Lane.PREWARM]),
        patience=st.sampled_from([0.0, 2.0, 8.0, 200.0]),
        gives_up_after=st.sampled_from([None, None, 0.0, 1.0, 2.0]) | st.floats(0.0, 8.0),
        stall=st.sampled_from([0.0, 0.0, 0.0, 0.4, 0.9, 2.4, 5.0]),
    ),
    min_size=1,
    max_size=150,
)


# The loop stands still over two slots, just when one of those who wait is cancelled.
_CANCELLED_IN_A_STALL = [
    Ask(after=0.0, lane=Lane.NO_LIST, patience=0.0, gives_up_after=None, stall=0.0),
    Ask(after=0.0, lane=Lane.NO_LIST, patience=2.0, gives_up_after=1.0, stall=0.0),
    Ask(after=0.0, lane=Lane.STALE, patience=2.0, gives_up_after=None, stall=0.0),
    Ask(after=0.3, lane=Lane.NO_LIST, patience=0.0, gives_up_after=None, stall=0.0),
    Ask(after=0.0, lane=Lane.NO_LIST, patience=2.0, gives_up_after=None, stall=2.4),
    Ask(after=0.0, lane=Lane.NO_LIST, patience=8.0, gives_up_after=None, stall=0.0),
]


@examples(60)
@example(asks=_CANCELLED_IN_A_STALL, tps=0.5)
@given(asks=_asks, tps=st.sampled_from([0.5, 1.0, 2.5, 5.0, 20.0, 100.0]))
def test_no_schedule_makes_a_slot_queue_exceed_the_rate_or_invert_the_lanes(  # noqa: C901  # one schedule, one place
    asks: list[Ask], tps: float
) -> None:
    slot = 1 / tps
    begun: list[float] = []
    ended: dict[int, float] = {}
    overtaken: list[tuple[int, float]] = []

    async def scenario() -> None:  # noqa: C901  # as above
        clock = VirtualClock(asyncio.get_running_loop())
        slot_queue = SlotQueue(EmbeddedGovernor(tps, clock=clock), clock)
        waiting: dict[int, tuple[float, float]] = {}

        async def call(number: int, ask: Ask) -> None:
            if ask.lane is Lane.NO_LIST:
                waiting[number] = clock.monotonic(), clock.monotonic() + ask.patience * slot
            try:
                await slot_queue.acquire(ask.lane, clock.monotonic() + ask.patience * slot)
            except BudgetExhausted:
                ended[number] = math.inf
                return
            finally:
                waiting.pop(number, None)
            ended[number] = clock.monotonic()
            begun.append(clock.monotonic())
            if ask.lane is not Lane.NO_LIST:
                now = clock.monotonic()
                overtaken.extend((one, now) for one, (since, until) in waiting.items() if since < now < until)

        def hold(when: float, seconds: float) -> None:
            # Not from within another stall: it would come between a slot and its use.
            if clock.monotonic() - when < 0.001 * slot:
                stall(seconds)

        tasks: dict[int, asyncio.Task[None]] = {}
        for number, ask in enumerate(asks):
            await asyncio.sleep(ask.after * slot)
            if ask.stall:
                when = clock.monotonic() + 0.537 * slot
                asyncio.get_running_loop().call_at(when, hold, when, ask.stall * slot)
            task = tasks[number] = asyncio.create_task(call(number, ask))
            if ask.gives_up_after is not None:
                asyncio.get_running_loop().call_later(ask.gives_up_after * slot, task.cancel)
        for result in await asyncio.gather(*tasks.values(), return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), repr(result)
        slot_queue.close()

    run_virtual(scenario())
    assert most_in_any_second(begun) <= math.floor(tps) + 1
    # A caller that was handed a slot in the same step, or gave up, was not overtaken.
    assert not [one for one, moment in overtaken if ended.get(one, moment) > moment]


def test_slots_used_late_do_not_crowd_the_second_that_follows() -> None:
    begun: list[float] = []

    async def scenario() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        slot_queue = SlotQueue(EmbeddedGovernor(100, clock=clock), clock)

        async def call() -> None:
            await slot_queue.acquire(Lane.NO_LIST, clock.monotonic() + 3)
            begun.append(clock.monotonic())

        asyncio.get_running_loop().call_later(0.105, stall, 0.0249)
        await asyncio.gather(*(call() for _ in range(200)))

    run_virtual(scenario())
    assert len(begun) == 200
    assert most_in_any_second(begun) <= 101
