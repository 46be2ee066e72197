"""What becomes of each event in rounds of an outbox, and when; the time is virtual."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import pytest
from structlog.testing import capture_logs

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.budget import Budget
from service.errors import RecommenderError, RecommenderRefused, RecommenderThrottled, SharedStateUnavailable
from service.events import outbox as outbox_module
from service.events.event import MAX_IMPRESSION, Event
from service.events.outbox import LAST_START_SECONDS, LOGGED_EVERY_SECONDS, MAX_A_CALL, Outbox
from service.events.ports import EventStore, Impressions, Waiting
from tests.support.virtual_time import VirtualClock, run_virtual


@dataclass
class Scene:
    """A store and Personalize in one: what was asked of either, with seconds since the beginning."""

    clock: VirtualClock
    waiting: list[Waiting] = field(default_factory=list)
    most: list[int] = field(default_factory=list)
    calls: list[tuple[float, list[str]]] = field(default_factory=list)
    done_: list[str] = field(default_factory=list)
    again_: list[tuple[float, list[str], float]] = field(default_factory=list)
    aside_: list[tuple[str, str]] = field(default_factory=list)
    counted: list[tuple[str, int]] = field(default_factory=list)
    fails: Callable[[Sequence[Event]], Exception | None] = lambda _: None
    seconds: float = 0.0
    shown: Sequence[str] = ()
    sent: list[Event] = field(default_factory=list)
    throttled: int = 0
    store_fails: list[Exception] = field(default_factory=list)
    """What the next claims meet."""
    left_after: float = 0.0
    """Seconds that the end took."""

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()
        self._all: dict[str, Waiting] = {}

    def now(self) -> float:
        return round(self.clock.monotonic() - self._began, 3)

    def add(self, *names: str, user: str = "ann", recommendation_id: str = "") -> None:
        for name in names:
            event = Event("View", user, f"s-{user}", 1e9, name, item_id=name, recommendation_id=recommendation_id)
            self._all[name] = Waiting(name, event)
            self.waiting.append(self._all[name])

    async def claim(self, most: int) -> list[Waiting]:
        self.most.append(most)
        if self.store_fails:
            raise self.store_fails.pop()
        claimed, self.waiting = self.waiting[:most], self.waiting[most:]
        return claimed

    async def done(self, numbers: Sequence[str]) -> None:
        self.done_ += numbers

    async def again(self, numbers: Sequence[str], after_seconds: float) -> None:
        self.again_.append((self.now(), list(numbers), after_seconds))
        asyncio.get_running_loop().call_later(after_seconds, self._wait_again, list(numbers))

    def _wait_again(self, numbers: Iterable[str]) -> None:
        self.waiting += [self._all[one] for one in numbers]

    async def aside(self, number: str, problem: str) -> None:
        self.aside_.append((number, problem))

    async def put(self, user_id: str, session_id: str, events: Sequence[Event]) -> None:
        assert session_id == f"s-{user_id}"
        self.calls.append((self.now(), [one.event_id for one in events]))
        await asyncio.sleep(self.seconds)
        if (error := self.fails(events)) is not None:
            raise error
        self.sent += events

    def events(self, result: str, count: int) -> None:
        self.counted.append((result, count))

    async def shown_with(self, owner: str, recommendation_id: str, item_id: str) -> Sequence[str]:
        del owner, recommendation_id, item_id
        return self.shown


class CountingBudget(Budget):
    """Counts how often it was throttled."""

    scene: Scene

    async def throttled(self) -> None:
        self.scene.throttled += 1
        await super().throttled()


def play(scenario: Callable[[Scene, Outbox], Awaitable[None]], *, tps: float = 100.0) -> Scene:
    async def run() -> Scene:
        clock = VirtualClock(asyncio.get_running_loop())
        scene = Scene(clock)
        budget = CountingBudget(EmbeddedGovernor(tps, clock=clock), clock)
        budget.scene = scene
        async with Outbox(
            cast(EventStore, scene),
            taker=scene,
            budget=budget,
            clock=clock,
            recorder=scene,
            impressions=cast(Impressions, scene),
        ) as outbox:
            await scenario(scene, outbox)
            leaves_at = scene.now()
        scene.left_after = round(scene.now() - leaves_at, 3)
        budget.close()
        return scene

    return run_virtual(run())


def test_of_a_refused_call_each_event_is_sent_by_itself_and_the_wrong_one_is_put_aside_after_three_refusals() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.fails = lambda events: (
            RecommenderRefused("InvalidInputException: ann") if "bad" in [one.event_id for one in events] else None
        )
        scene.add("a", "bad", "b")
        outbox.wake()
        await asyncio.sleep(20)

    with capture_logs() as logs:
        scene = play(scenario)
    assert [events for _, events in scene.calls[:4]] == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]
    assert scene.done_ == ["a", "b"]
    assert [(numbers, after) for _, numbers, after in scene.again_] == [(["bad"], 1.0), (["bad"], 2.0)]
    assert scene.aside_ == [("bad", "InvalidInputException")]
    assert scene.counted == [("sent", 1), ("sent", 1), ("aside", 1)]
    assert len(scene.calls) == 6
    assert [line["event"] for line in logs] == ["event_put_aside"]


def test_each_call_has_a_slot_of_the_budget() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        for number in range(6):
            scene.add(f"{number}", user=f"u{number}")
        outbox.wake()
        await asyncio.sleep(5)

    assert [at for at, _ in play(scenario, tps=2.0).calls] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], abs=0.01)


def test_what_is_put_aside_for_one_reason_has_a_line_a_minute() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.fails = lambda _: RecommenderRefused("No")
        for number in range(3):
            scene.add(f"{number}", user=f"u{number}")
        outbox.wake()
        await asyncio.sleep(LOGGED_EVERY_SECONDS - 10)
        scene.add("late", user="eve")
        await asyncio.sleep(30)
        assert len(scene.aside_) == 4

    with capture_logs() as logs:
        play(scenario)
    assert len(logs) == 1


def test_rounds_that_fail_come_after_ever_longer_pauses_until_one_does_not() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.fails = lambda _: RecommenderError("away") if scene.now() < 40 else None
        scene.add("a")
        outbox.wake()
        await asyncio.sleep(60)
        assert scene.done_ == ["a"]
        scene.add("b", user="bob")
        outbox.wake()
        await asyncio.sleep(1)
        assert scene.done_ == ["a", "b"]

    with capture_logs() as logs:
        scene = play(scenario)
    times = [at for at, _ in scene.calls]
    pauses = [round(after - before, 1) for before, after in pairwise(times)]
    assert pauses[:7] == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0], abs=0.6)
    assert {after for _, _, after in scene.again_} == {0.5}
    assert [line["event"] for line in logs] == ["events_not_sent", "events_sent_again"]


def test_after_a_failure_the_rest_of_the_session_waits_and_other_sessions_go_on() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.fails = lambda events: RecommenderThrottled("slow down") if events[0].event_id == "0" else None
        scene.add(*(str(number) for number in range(2 * MAX_A_CALL + 3)))
        scene.add("other", user="bob")
        outbox.wake()
        await asyncio.sleep(0.3)

    scene = play(scenario)
    assert scene.done_ == ["other"]
    assert [events for _, events in scene.calls] == [[str(number) for number in range(MAX_A_CALL)], ["other"]]
    waiting = [number for _, numbers, after in scene.again_ for number in numbers if after == 0.5]
    assert sorted(waiting, key=int) == [str(number) for number in range(2 * MAX_A_CALL + 3)]


def test_a_session_goes_in_calls_of_ten_in_order_and_what_has_no_time_waits_again() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.seconds = LAST_START_SECONDS * 0.6
        scene.add(*(str(number) for number in range(35)))
        outbox.wake()
        await asyncio.sleep(LAST_START_SECONDS * 1.5)

    scene = play(scenario)
    assert [len(events) for _, events in scene.calls[:2]] == [10, 10]
    assert scene.done_[:20] == [str(number) for number in range(20)]
    assert [(numbers[0], len(numbers), after) for _, numbers, after in scene.again_[:1]] == [("20", 15, 0.0)]


@pytest.mark.parametrize(("tps", "most"), [(1.0, 10), (5.0, 20), (100.0, 400), (1_000.0, 500)])
def test_as_many_are_claimed_as_have_a_slot_in_four_seconds(tps: float, most: int) -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        del scene, outbox
        await asyncio.sleep(2.2)

    # Every half second it looks, though nobody wakes it.
    assert play(scenario, tps=tps).most == [most] * 5


MANY = tuple(f"i{number}" for number in range(40))


@pytest.mark.parametrize(
    ("shown", "impression"),
    [
        ((), ()),
        (("x", "a"), ("x", "a")),
        (MANY[:MAX_IMPRESSION], MANY[:MAX_IMPRESSION]),
        (MANY, ()),
        (("a", *MANY), ("a", *MANY[: MAX_IMPRESSION - 1])),
    ],
)
def test_what_was_shown_goes_along_if_the_item_of_the_event_is_in_it(
    shown: Sequence[str], impression: tuple[str, ...]
) -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.shown = shown
        scene.add("a", recommendation_id="r")
        scene.add("b", user="bob")
        outbox.wake()
        await asyncio.sleep(1)

    sent = {one.event_id: one.impression for one in play(scenario).sent}
    assert sent == {"a": impression, "b": ()}


def test_who_wakes_it_need_not_wait_for_its_next_look() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        await asyncio.sleep(0.2)
        scene.add("a")
        outbox.wake()
        await asyncio.sleep(0.1)
        scene.add("b")
        await asyncio.sleep(1)

    scene = play(scenario)
    # The second was added when the look after the first was over.
    assert [(round(at, 1), names) for at, names in scene.calls] == [(0.2, ["a"]), (0.7, ["b"])]


def test_an_event_without_a_slot_in_five_seconds_waits_again_and_is_no_failure() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.add("a", user="ann")
        scene.add("b", *(f"b{number}" for number in range(MAX_A_CALL)), user="bob")
        outbox.wake()
        await asyncio.sleep(4.9)

    scene = play(scenario, tps=0.1)
    assert [names for _, names in scene.calls] == [["a"]]
    assert (["b", *(f"b{number}" for number in range(MAX_A_CALL - 1))], 0.0) in [
        (numbers, after) for _, numbers, after in scene.again_
    ]
    assert scene.counted == [("sent", 1)]
    # It looks every half second, and not in a circle.
    assert len(scene.most) <= 11


def test_an_end_waits_for_calls_in_flight_for_three_seconds_and_not_for_its_next_look() -> None:
    """J5"""

    async def idle(scene: Scene, outbox: Outbox) -> None:
        del scene, outbox
        await asyncio.sleep(0.1)

    def busy(seconds: float) -> Callable[[Scene, Outbox], Awaitable[None]]:
        async def scenario(scene: Scene, outbox: Outbox) -> None:
            scene.seconds = seconds
            scene.add("a")
            scene.add(*(f"b{number}" for number in range(MAX_A_CALL + 1)), user="bob")
            outbox.wake()
            await asyncio.sleep(0.1)

        return scenario

    assert play(idle).left_after == 0.0
    short = play(busy(2.0))
    assert short.left_after == pytest.approx(1.9, abs=0.02)
    # The eleventh event of a session begins no call any more, and waits for another replica.
    assert short.done_ == ["a", *(f"b{number}" for number in range(MAX_A_CALL))]
    assert [(numbers, after) for _, numbers, after in short.again_] == [([f"b{MAX_A_CALL}"], 0.0)]
    long = play(busy(4.0))
    assert (long.left_after, long.done_, long.again_) == (3.0, [], [])


@pytest.mark.parametrize("error", [SharedStateUnavailable(), ValueError("a fault of ours")])
def test_a_store_that_fails_is_asked_again_after_a_look(error: Exception) -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.store_fails = [error] * 3
        scene.add("a")
        outbox.wake()
        await asyncio.sleep(1.4)
        assert scene.calls == []
        await asyncio.sleep(0.2)

    with capture_logs() as logs:
        scene = play(scenario)
    assert scene.done_ == ["a"]
    # Once more when all is sent.
    assert len(scene.most) == 5
    assert [line["event"] for line in logs] == ["events_outbox_failed"] * 3 * isinstance(error, ValueError)


def test_a_refusal_ends_the_pauses_and_the_session_goes_on_behind_it() -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.fails = lambda events: (
            RecommenderError("away")
            if scene.now() < 5
            else RecommenderRefused("No")
            if "bad" in [one.event_id for one in events]
            else None
        )
        scene.add("bad", *(str(number) for number in range(MAX_A_CALL + 1)))
        outbox.wake()
        await asyncio.sleep(12)

    scene = play(scenario)
    calls = [(at, names) for at, names in scene.calls if at > 5]
    at = calls[0][0]
    # The one that is refused again and again comes after its own pause, of a second and then two.
    assert [round(one - at) for one, names in calls if names == ["bad"]] == [0, 1, 3]
    assert scene.done_ == [str(number) for number in range(MAX_A_CALL + 1)]
    assert {one for one, names in calls if names != ["bad"]} <= {at, *(one for one, _ in calls if one < at + 1)}


@pytest.mark.parametrize(("error", "times"), [(RecommenderThrottled("slow down"), 1), (RecommenderError("away"), 0)])
def test_only_a_refused_rate_lowers_the_rate(error: RecommenderError, times: int) -> None:
    async def scenario(scene: Scene, outbox: Outbox) -> None:
        scene.fails = lambda _: error if len(scene.calls) == 1 else None
        scene.add("a")
        outbox.wake()
        await asyncio.sleep(3)

    scene = play(scenario)
    assert scene.done_ == ["a"]
    assert scene.throttled == times


def test_refusals_are_remembered_of_the_latest_refused_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_REMEMBERED", 2)

    def refused(count: int) -> list[str]:
        async def scenario(scene: Scene, outbox: Outbox) -> None:
            scene.fails = lambda _: RecommenderRefused("No")
            for number in range(count):
                scene.add(f"{number}", user=f"u{number}")
            outbox.wake()
            await asyncio.sleep(20)

        return [number for number, _ in play(scenario).aside_]

    with capture_logs():
        assert refused(2) == ["0", "1"]
        # Of three that come round in turn, each is forgotten before it comes again.
        assert refused(3) == []
