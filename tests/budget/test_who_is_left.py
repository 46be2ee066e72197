"""Who still waits when a queue closes or a caller goes, and how many slots those want who are left."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane, Reservation
from service.budget.slot_queue import SlotQueue
from service.errors import BudgetExhausted
from service.models import NOBODY
from tests.support.garbage import collected_at_the_end
from tests.support.virtual_time import VirtualClock, run_virtual, stall


def play(scenario: Callable[[SlotQueue, VirtualClock], Awaitable[None]], tps: float = 1.0) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        await scenario(SlotQueue(EmbeddedGovernor(tps, clock=clock), clock), clock)

    run_virtual(run())


def waiting(queue: SlotQueue, lane: Lane, until: float) -> asyncio.Task[float]:
    return asyncio.create_task(queue.acquire(lane, until))


def _from_far(queue: SlotQueue, seconds: float) -> list[Lane]:
    """Have its governor answer after so long; in which lanes it is asked from now on."""
    reserve, asked = queue._governor.reserve, []

    async def from_far(lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        asked.append(lane)
        reservation = await reserve(lane, within_seconds, slots)
        await asyncio.sleep(seconds)
        return Reservation(reservation.granted, reservation.wait_seconds - seconds, reservation.apart_seconds)

    queue._governor.reserve = from_far  # type: ignore[method-assign]  # as one that is far away
    return asked


@pytest.mark.parametrize("lane", list(Lane))
def test_a_queue_that_closes_refuses_who_waits_at_once_and_who_comes_later(lane: Lane) -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        await queue.acquire(Lane.NO_LIST, clock.monotonic() + 10)
        calls = [waiting(queue, lane, clock.monotonic() + 100) for _ in range(3)]
        # One that waits for the moment that is left until a slot.
        await asyncio.sleep(0.997)
        if lane is not Lane.NO_LIST:
            calls.append(waiting(queue, Lane.STALE, clock.monotonic()))
        await asyncio.sleep(0.001)
        began = clock.monotonic()
        assert not any(call.done() for call in calls)
        queue.close()
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, BudgetExhausted)
        await asyncio.sleep(5)
        for _ in range(2):
            with pytest.raises(BudgetExhausted):
                await queue.acquire(lane, clock.monotonic() + 100)
        assert clock.monotonic() == began + 5

    play(scenario)


@pytest.mark.parametrize("lane", list(Lane))
def test_who_asks_for_a_slot_as_the_queue_closes_has_none(lane: Lane) -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        _from_far(queue, 0.1)
        call = waiting(queue, lane, clock.monotonic() + 10)
        await asyncio.sleep(0.05)
        queue.close()
        with pytest.raises(BudgetExhausted):
            await call
        assert queue._slots == []

    play(scenario)


def test_a_slot_that_a_caller_left_is_one_stale_lists_and_the_next_one_hears_no_at_once() -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        began = await queue.acquire(Lane.NO_LIST, clock.monotonic() + 10)
        leaver = waiting(queue, Lane.NO_LIST, clock.monotonic() + 10)
        await asyncio.sleep(0.1)
        leaver.cancel()
        await asyncio.sleep(0.097)
        one, other = (waiting(queue, Lane.STALE, clock.monotonic()) for _ in range(2))
        await asyncio.sleep(0.001)
        assert isinstance(other.exception(), BudgetExhausted)
        assert not one.done()
        assert await one == pytest.approx(began + 0.2)

    play(scenario, tps=5.0)


def test_who_has_a_list_asks_for_no_slot_while_one_without_a_list_does() -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        asked = _from_far(queue, 0.1)
        call = waiting(queue, Lane.NO_LIST, clock.monotonic() + 10)
        await asyncio.sleep(0.05)
        began = clock.monotonic()
        with pytest.raises(BudgetExhausted):
            await queue.acquire(Lane.STALE, began)
        assert (clock.monotonic(), asked) == (began, [Lane.NO_LIST])
        await call

    play(scenario)


@pytest.mark.parametrize(("way_seconds", "used"), [(0.09, True), (0.11, False)])
def test_a_slot_of_which_word_comes_more_than_half_a_slot_late_is_not_used_for_who_has_a_list(
    way_seconds: float, *, used: bool
) -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        _from_far(queue, way_seconds)
        began = clock.monotonic()
        call = waiting(queue, Lane.STALE, began)
        await asyncio.sleep(1)
        assert isinstance(call.exception(), BudgetExhausted) != used
        assert not used or call.result() == pytest.approx(began)

    play(scenario, tps=5.0)


def test_a_caller_whose_time_is_over_when_its_slot_is_lost_hears_no_at_once() -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        began = await queue.acquire(Lane.NO_LIST, clock.monotonic() + 10)
        over, in_time = (waiting(queue, Lane.NO_LIST, began + until) for until in (0.25, 10.0))
        await asyncio.sleep(0.1)
        stall(0.7)
        await asyncio.sleep(0.001)
        assert isinstance(over.exception(), BudgetExhausted)
        assert await in_time == pytest.approx(began + 0.8, abs=0.01)

    play(scenario, tps=5.0)


def test_who_leaves_as_slots_are_lost_keeps_nobody_from_asking_again() -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        began = await queue.acquire(Lane.NO_LIST, clock.monotonic() + 10)
        stays, leaves = (waiting(queue, Lane.NO_LIST, began + 10) for _ in range(2))
        await asyncio.sleep(0.1)
        # In the moment in which the loop goes on, behind the slots that are lost.
        asyncio.get_running_loop().call_at(began + 0.5, leaves.cancel)
        stall(0.55)
        await asyncio.sleep(0.05)
        assert leaves.cancelled()
        assert stays.result() == pytest.approx(began + 0.65)

    play(scenario, tps=5.0)


def test_a_slot_that_begins_now_is_the_callers_in_the_same_step() -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        for lane, until in ((Lane.NO_LIST, clock.monotonic() + 10), (Lane.STALE, clock.monotonic())):
            with pytest.raises(StopIteration) as raised:
                queue.acquire(lane, until).send(None)
            assert raised.value.value == clock.monotonic()
            await asyncio.sleep(1)

    play(scenario)


class FastGovernor(EmbeddedGovernor):
    """Its slots come faster than it says, as those do that were used late."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(1.8 * 5, clock=clock)
        self.max_tps = 5.0
        self.asked = 0

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        self.asked += 1
        return await super().reserve(lane, within_seconds, slots)


def test_a_slot_for_which_a_second_has_no_room_in_time_is_lost_and_asked_for_again() -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        governor = FastGovernor(clock)
        queue = SlotQueue(governor, clock)
        began = clock.monotonic()
        begins = await asyncio.gather(*(queue.acquire(Lane.NO_LIST, began + 10) for _ in range(8)))
        # Six in the first second, and the slots of the next two would have been used a third of a second late.
        assert [round(at - began, 3) for at in begins[:6]] == [0.0, 0.111, 0.222, 0.333, 0.444, 0.556]
        assert begins[6] >= began + 1.0
        assert governor.asked > 8
        queue.close()
        await asyncio.sleep(5)

    run_virtual(run())


@pytest.mark.parametrize("lane", list(Lane))
def test_who_is_refused_in_the_moment_in_which_it_gives_up_is_no_error_that_nobody_has_seen(lane: Lane) -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with collected_at_the_end():
            await queue.acquire(Lane.NO_LIST, clock.monotonic() + 10)
            call = waiting(queue, lane, clock.monotonic() + 100)
            await asyncio.sleep(0.5)
            queue.close()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            del call
            await asyncio.sleep(1)
        assert complaints == []

    play(scenario)


@pytest.mark.parametrize(
    ("slots", "no_list", "at_once", "stale", "prewarms", "missing"),
    [
        (0, 0, 0, 0, 0, (Lane.PREWARM, 0)),
        (0, 0, 0, 2, 3, (Lane.STALE, 2)),
        (1, 0, 0, 2, 3, (Lane.STALE, 1)),
        (2, 0, 0, 2, 3, (Lane.PREWARM, 3)),
        (4, 0, 0, 2, 3, (Lane.PREWARM, 1)),
        (4, 0, 1, 2, 3, (Lane.PREWARM, 2)),
        (4, 0, 3, 2, 3, (Lane.STALE, 1)),
        (4, 0, 5, 2, 3, (Lane.STALE, 2)),
        (4, 1, 0, 2, 3, (Lane.PREWARM, 2)),
        (4, 1, 2, 2, 3, (Lane.STALE, 1)),
        (6, 0, 0, 2, 3, (Lane.PREWARM, 0)),
    ],
)
def test_the_highest_lane_that_lacks_slots_wants_as_many_as_it_lacks(
    *, slots: int, no_list: int, at_once: int, stale: int, prewarms: int, missing: tuple[Lane, int]
) -> None:
    async def scenario(queue: SlotQueue, clock: VirtualClock) -> None:
        del clock
        # What each of them is does not matter here.
        anybody: Any = None
        queue._slots = [0.0] * slots
        for _ in range(no_list):
            queue._waiting.add(anybody, NOBODY)
        queue._at_once = deque([anybody] * at_once)
        queue._lower = {Lane.STALE: deque([anybody] * stale), Lane.PREWARM: deque([anybody] * prewarms)}
        assert queue._missing() == missing

    play(scenario)
