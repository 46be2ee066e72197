"""What becomes of one slot: who gets it, until when, and who gets it if that one leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane, Reservation
from service.budget.slot_queue import SlotQueue
from service.errors import BudgetExhausted
from tests.support.fakes import most_in_any_second
from tests.support.virtual_time import VirtualClock, run_virtual, stall


class WatchedGovernor(EmbeddedGovernor):
    """Remembers when it was asked, in which lane and for how many slots."""

    def __init__(self, max_tps: float, *, clock: VirtualClock) -> None:
        super().__init__(max_tps, clock=clock)
        self._began = clock.monotonic()
        self.questions: list[tuple[float, Lane, int]] = []

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        self.questions.append((round(self._clock.monotonic() - self._began, 6), lane, slots))
        return await super().reserve(lane, within_seconds, slots)


@dataclass
class Scene:
    """A governor with queues of some replicas; times are seconds since the beginning."""

    tps: float
    clock: VirtualClock
    governor: WatchedGovernor
    queues: list[SlotQueue]
    got: dict[str, float | None] = field(default_factory=dict)
    """When each caller got its slot; None if it was refused."""
    late: dict[str, float] = field(default_factory=dict)
    """How long before that the slot had begun."""

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def call(
        self, name: str, lane: Lane = Lane.NO_LIST, *, within: float = 100.0, replica: int = 0
    ) -> asyncio.Task[None]:
        """Have somebody ask for a slot."""

        async def ask() -> None:
            try:
                begins = await self.queues[replica].acquire(lane, self.clock.monotonic() + within)
            except BudgetExhausted:
                self.got[name] = None
            else:
                self.got[name] = round(self.clock.monotonic() - self._began, 6)
                self.late[name] = self.clock.monotonic() - begins

        task = asyncio.create_task(ask())
        self._tasks.append(task)
        return task

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something then, after what was to be done then before."""
        asyncio.get_running_loop().call_at(self._began + seconds, act)

    async def until(self, seconds: float) -> None:
        await asyncio.sleep(self._began + seconds - self.clock.monotonic())

    async def end(self) -> None:
        for queue in self.queues:
            queue.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Slots begin that nobody wants.
        await asyncio.sleep(100 / self.tps)


def play(scenario: Callable[[Scene], Awaitable[None]], *, tps: float, replicas: int = 1) -> Scene:
    async def run() -> Scene:
        clock = VirtualClock(asyncio.get_running_loop())
        governor = WatchedGovernor(tps, clock=clock)
        scene = Scene(tps, clock, governor, [SlotQueue(governor, clock) for _ in range(replicas)])
        await scenario(scene)
        await scene.end()
        return scene

    return run_virtual(run())


def test_the_slot_of_a_caller_that_leaves_in_the_moment_of_getting_it_goes_to_the_next() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        leaver = scene.call("leaver")
        scene.call("next")
        await scene.until(0.5)
        # The slot's own timer was set before this one.
        scene.at(1.0, leaver.cancel)
        await scene.until(4.0)

    assert play(scenario, tps=1.0).got == {"first": 0.0, "next": 1.0}


def test_the_slot_of_a_refresh_that_ends_in_the_moment_of_getting_it_goes_to_the_next() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        await scene.until(0.1)
        leaver = scene.call("leaver", Lane.STALE)
        scene.call("next", Lane.STALE)
        await scene.until(0.5)
        scene.at(0.999, lambda: scene.at(1.0, leaver.cancel))
        await scene.until(4.0)

    assert play(scenario, tps=1.0).got == {"first": 0.0, "next": 1.0}


def test_slots_that_were_handed_on_count_once() -> None:
    """Otherwise callers who leave would slow down those who stay."""

    async def scenario(scene: Scene) -> None:
        scene.call("first")
        leavers = []
        for number in range(20):
            leavers.append(scene.call(f"leaver{number}"))
            scene.call(f"caller{number}")
        await scene.until(0.05)
        for number, leaver in enumerate(leavers):
            scene.at(0.1 * (number + 1), leaver.cancel)
        await scene.until(10.0)

    got = play(scenario, tps=10.0).got
    assert [got[f"caller{number}"] for number in range(20)] == pytest.approx(
        [0.1 * (number + 1) for number in range(20)], abs=1e-3
    )


def test_the_slot_of_a_caller_that_left_earlier_is_taken_by_one_that_comes_later() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        leaver = scene.call("leaver")
        scene.call("second")
        await scene.until(0.5)
        leaver.cancel()
        await scene.until(0.6)
        # A slot of its own would begin at 3.
        scene.call("late", within=1.9)
        await scene.until(5.0)

    assert play(scenario, tps=1.0).got == {"first": 0.0, "second": 1.0, "late": 2.0}


@pytest.mark.parametrize(
    ("tps", "late", "used"),
    [
        # Half a slot.
        (5.0, 0.095, True),
        (5.0, 0.105, False),
        # 20 ms, where half a slot is less.
        (100.0, 0.019, True),
        (100.0, 0.0235, False),
    ],
)
def test_a_slot_is_used_half_a_slot_late_or_20_ms_and_no_later(tps: float, late: float, *, used: bool) -> None:
    """A later one is lost, and its caller asks again: slots used late crowd those that follow."""

    async def scenario(scene: Scene) -> None:
        scene.call("first")
        scene.call("second")
        scene.at(1 / tps - 0.001, lambda: stall(late + 0.001))
        await scene.until(5 / tps + 1)

    assert play(scenario, tps=tps).late["second"] == pytest.approx(late if used else 0.0, abs=1e-6)


def test_a_caller_with_a_stale_list_goes_before_what_is_renewed_in_the_background() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        await scene.until(0.001)
        scene.call("background", Lane.STALE)
        scene.call("prewarm", Lane.PREWARM)
        # By now a slot is reserved for the background.
        await scene.until(0.008)
        scene.call("caller", Lane.STALE, within=0.0)
        await scene.until(0.1)

    got = play(scenario, tps=100.0).got
    assert got["caller"] == pytest.approx(0.01, abs=1e-3)
    assert got["background"] == pytest.approx(0.02, abs=1e-3)
    assert got["prewarm"] == pytest.approx(0.03, abs=1e-3)


def test_a_replica_with_stale_lists_and_prewarms_goes_before_the_prewarms_of_another() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        for number in range(10):
            scene.call(f"other prewarm{number}", Lane.PREWARM, replica=1)
            scene.call(f"prewarm{number}", Lane.PREWARM)
            scene.call(f"stale{number}", Lane.STALE)
        await scene.until(3.0)

    got = play(scenario, tps=20.0, replicas=2).got
    order = sorted(got, key=lambda name: got[name] or 0.0)
    # The mark of a stale list that waits is set with its first question; a prewarm may have come before.
    assert sum(name.startswith("stale") for name in order[1:12]) == 10


def test_nothing_is_reserved_for_lower_lanes_while_a_caller_without_a_list_waits() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        scene.call("second")
        await scene.until(0.001)
        scene.call("refresh", Lane.STALE)
        scene.call("prewarm", Lane.PREWARM)
        await scene.until(0.95)
        assert [lane for _, lane, _ in scene.governor.questions] == [Lane.NO_LIST, Lane.NO_LIST]
        await scene.until(4.5)

    got = play(scenario, tps=1.0).got
    assert got == pytest.approx({"first": 0.0, "second": 1.0, "refresh": 2.0, "prewarm": 3.0}, abs=0.01)


def test_a_refresh_that_wants_a_slot_at_once_gives_up_when_a_caller_has_had_it() -> None:
    refused_at = []

    async def scenario(scene: Scene) -> None:
        scene.call("first")
        await scene.until(0.197)
        refresh = scene.call("refresh", Lane.STALE, within=0.0)
        refresh.add_done_callback(lambda _: refused_at.append(scene.clock.monotonic() - 1000.0))
        await scene.until(0.198)
        scene.call("caller")
        await scene.until(0.3)
        # It waits for a slot that a caller may leave.
        assert "refresh" not in scene.got
        await scene.until(4.0)

    got = play(scenario, tps=5.0).got
    assert got == {"first": 0.0, "caller": 0.2, "refresh": None}
    # Two leads, and a slot.
    assert refused_at == pytest.approx([0.197 + 2 * 0.005 + 0.2], abs=1e-6)


class FastGovernor(EmbeddedGovernor):
    """Its slots come faster than it says, as those do that were used late."""

    def __init__(self, max_tps: float, *, clock: VirtualClock) -> None:
        super().__init__(1.8 * max_tps, clock=clock)
        self.max_tps = max_tps


@pytest.mark.parametrize("lane", [Lane.NO_LIST, Lane.STALE])
def test_slots_that_begin_at_once_fill_a_second_too(lane: Lane) -> None:
    async def run() -> list[float]:
        clock = VirtualClock(asyncio.get_running_loop())
        queue = SlotQueue(FastGovernor(5.0, clock=clock), clock)
        begun = []
        for _ in range(60):
            with suppress(BudgetExhausted):
                await queue.acquire(lane, clock.monotonic() + (3.0 if lane is Lane.NO_LIST else 0.0))
                begun.append(clock.monotonic())
            await asyncio.sleep(0.12)
        queue.close()
        await asyncio.sleep(5)
        return begun

    begun = run_virtual(run())
    assert len(begun) > 30
    assert most_in_any_second(begun) == 6
