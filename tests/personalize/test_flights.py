"""Flights: what a caller gets who boards one that was begun for nobody, and what is left of one that answers nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest

from service.clock import margin_seconds
from service.constants import PIN_SECONDS
from service.errors import RecommenderError, RecommenderThrottled
from service.lists.envelope import newer, seal
from service.lists.ports import Outcome
from service.models import NOBODY, ItemList, ListRequest, sender_of_key
from service.personalize.flight import Flight
from service.personalize.flights import SETTLING_SECONDS
from service.personalize.transactions import patience_seconds
from service.sends.ports import PrewarmTerms
from tests.answers.test_batch_lists import FakeBatch
from tests.support.fakes import HANG, FakePersonalize, FakeStore
from tests.support.replica import ARN, DEADLINE_SECONDS, FRESH_SECONDS, Replica, items_for, key_of, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

ALL = PrewarmTerms(spare=1.0)
KEY = key_of("user")

Scenario = Callable[[Replica, Replica, FakePersonalize, FakeStore], Awaitable[None]]


def two(scenario: Scenario, *, tps: float = 5.0) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store, personalize = FakeStore(clock), FakePersonalize(clock)
        personalize.default_items = items_for
        async with (
            open_replica(personalize=personalize, shared=store.replica(), tps=tps) as one,
            open_replica(personalize=personalize, shared=store.replica(), governor=one.governors[ARN]) as other,
        ):
            await scenario(one, other, personalize, store)

    run_virtual(run())


async def with_a_stale_list(replica: Replica) -> None:
    await replica.ask()
    await asyncio.sleep(FRESH_SECONDS + 1)


@pytest.mark.parametrize("failure", [RecommenderError, RecommenderThrottled, HANG])
def test_a_refresh_that_fails_pins_nobody(failure: type[Exception] | str) -> None:
    """K2."""

    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        await with_a_stale_list(one)
        personalize.failure = failure
        one.refresher.add(KEY, ListRequest("user"))
        await asyncio.sleep(DEADLINE_SECONDS + 0.1)
        assert personalize.transactions["user"] == 2
        personalize.failure = None
        assert not store.pins
        assert (await other.ask()).source == "personalize"
        assert (await one.ask()).source == "cache"

    two(scenario)


def test_a_transaction_that_fails_after_all_callers_have_left_pins_nobody() -> None:
    """K2."""

    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        personalize.failure = RecommenderError
        gone = asyncio.create_task(one.ask())
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0.5)
        personalize.failure = None
        assert personalize.transactions["user"] == 1
        assert (await one.ask()).source == "personalize"
        assert (await other.ask()).source == "cache"

    two(scenario)


@pytest.mark.parametrize("begun_by", ["refresh", "prewarm"])
@pytest.mark.parametrize("here", [True, False])
def test_a_caller_with_a_stale_list_does_not_wait_for_what_was_begun_for_nobody(
    begun_by: str,
    here: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    """K3."""

    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        await with_a_stale_list(one)
        personalize.latency_seconds = 1.2
        if begun_by == "refresh":
            one.refresher.add(KEY, ListRequest("user"))
        prewarm = asyncio.create_task(one.prewarmer.make(["user"] if begun_by == "prewarm" else [], ALL, seconds=2.0))
        await asyncio.sleep(0.3)
        assert personalize.in_flight == 1
        asked = one if here else other
        began = asked.clock.monotonic()
        answer = await asked.ask()
        assert (answer.source, answer.degraded_reason) == ("stale", "budget")
        assert asked.clock.monotonic() - began <= 5 * store.delay_seconds
        # It goes on, and is led by whom it was led.
        assert KEY in store.leases
        # All parts of the message agree, also those that come after the list.
        await asyncio.sleep(2)
        assert [(await each.ask()).body for each in (one, other)] == [answer.body] * 2
        await asyncio.sleep(PIN_SECONDS)
        assert [(await each.ask()).source for each in (one, other)] == ["cache"] * 2
        assert personalize.transactions["user"] == 2
        await prewarm

    two(scenario)


def test_a_caller_without_a_list_shares_the_transaction_of_a_prewarm_on_another_replica() -> None:
    """K3: only who has a list is sent on."""

    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        personalize.latency_seconds = 1.0
        prewarm = asyncio.create_task(one.prewarmer.make(["user"], ALL, seconds=2.0))
        await asyncio.sleep(0.2)
        assert (await other.ask()).source == "personalize"
        assert (await prewarm).fetched == 1
        assert personalize.transactions.total() == 1

    two(scenario)


def test_a_prewarm_whose_slot_comes_late_moves_to_the_lane_of_the_caller_who_boards_it() -> None:
    """K4."""

    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.delay_seconds = 0.2
        flying = asyncio.create_task(one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False))
        await asyncio.sleep(0.1)
        answer = await one.ask()
        assert (answer.source, answer.degraded_reason) == ("personalize", None)
        outcome, spent = await flying
        assert (outcome.source, spent) == ("personalize", True)
        assert personalize.transactions.total() == 1

    two(scenario)


def test_a_prewarm_spends_nothing_on_a_fresh_list_of_another_replica_unless_it_is_to_renew_it() -> None:
    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        await other.ask()
        for renew, source in [(False, "cache"), (True, "personalize")]:
            outcome, spent = await one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=renew)
            assert (outcome.source, spent) == (source, renew)
        assert personalize.transactions["user"] == 2

    two(scenario)


@pytest.mark.parametrize("begun_by", ["caller", "refresh", "prewarm"])
def test_a_replica_leads_until_a_transaction_would_be_over_that_begins_at_the_deadline(begun_by: str) -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        timeout, began = one.flights._fetching.timeout_seconds, one.clock.monotonic()
        work: Mapping[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "caller": one.ask,
            "refresh": lambda: one.flights.refresh(KEY, ListRequest("user"), began),
            "prewarm": lambda: one.flights.prewarm(KEY, ListRequest("user"), began, renew=False),
        }
        flying = asyncio.create_task(work[begun_by]())
        await asyncio.sleep(2 * store.delay_seconds)
        _leader, until, background = store.leases[KEY]
        patience = patience_seconds(DEADLINE_SECONDS) if begun_by == "caller" else timeout
        assert until - began - store.delay_seconds == pytest.approx(patience + timeout)
        assert background == (begun_by != "caller")
        await flying
        assert not store.leases
        assert personalize.transactions["user"] == 1

    two(scenario)


def test_a_store_that_is_slow_to_keep_a_list_holds_its_callers_up_for_a_moment_only() -> None:
    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        began = one.clock.monotonic()
        asking = asyncio.create_task(one.ask())
        await asyncio.sleep(2 * store.delay_seconds)
        store.delay_seconds = 0.4
        assert (await asking).source == "personalize"
        took = one.clock.monotonic() - began
        assert took == pytest.approx(personalize.latency_seconds + SETTLING_SECONDS, abs=0.01)
        await asyncio.sleep(1.0)
        assert (await other.ask()).source == "cache"

    two(scenario)


def test_a_list_that_is_on_its_way_is_not_fetched_once_more() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, _store: FakeStore) -> None:
        asking = asyncio.create_task(one.ask())
        await asyncio.sleep(0.01)
        now = one.clock.monotonic()
        assert await one.flights.prewarm(KEY, ListRequest("user"), now, renew=True) == (Outcome(None, "cache"), False)
        await one.flights.refresh(KEY, ListRequest("user"), now)
        assert one.clock.monotonic() == now
        assert (await asking).source == "personalize"
        assert personalize.transactions.total() == 1

    two(scenario)


def test_a_prewarm_goes_on_though_a_caller_has_boarded_it_and_left() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.delay_seconds = 0.05
        flying = asyncio.create_task(one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(one.ask())
        await asyncio.sleep(0.01)
        gone.cancel()
        outcome, spent = await flying
        assert (outcome.source, spent) == ("personalize", True)
        assert personalize.transactions.total() == 1

    two(scenario)


def test_an_answer_that_another_replica_gave_is_repeated_and_not_given_to_the_store_again() -> None:
    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.failure = RecommenderError
        first = await one.ask()
        landed = len(store.landed)
        began = other.clock.monotonic()
        assert ((await other.ask()).body, len(store.landed)) == (first.body, landed)
        assert other.clock.monotonic() - began == pytest.approx(store.delay_seconds)
        # Nor is what a leader says, which has given it to the store itself.
        personalize.latency_seconds = 0.3
        leading = asyncio.create_task(one.ask("new"))
        await asyncio.sleep(0.1)
        followed = await other.ask("new")
        assert (followed.body, len(store.landed)) == ((await leading).body, landed + 1)
        # It is repeated without the store too.
        store.down = True
        assert [(await each.ask("new")).body for each in (one, other)] == [followed.body] * 2
        assert personalize.transactions["new"] == 1

    two(scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_a_prewarm_whose_end_the_store_does_not_hear_is_none(*, fails: bool) -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.latency_seconds = 0.3
        personalize.failure = RecommenderError if fails else None
        flying = asyncio.create_task(one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False))
        await asyncio.sleep(0.1)
        store.down = True
        outcome, spent = await flying
        assert (outcome.source, outcome.degraded_reason, spent) == ("popular", "error", True)
        # Nobody is pinned to it, and a list is kept here.
        assert not store.pins
        assert (one.local.get(KEY) is None) == fails

    two(scenario)


@pytest.mark.parametrize(("share", "source"), [(0.4, "batch"), (0.6, "popular")])
def test_half_of_the_time_to_step_down_in_is_for_the_batch_list(share: float, source: str) -> None:
    async def run() -> None:
        left = DEADLINE_SECONDS - margin_seconds(DEADLINE_SECONDS)
        batch = FakeBatch(seconds=share * margin_seconds(left))
        async with open_replica(batch=batch) as replica:
            replica.personalize.failure = HANG
            began = replica.clock.monotonic()
            answer = await replica.ask()
            assert (answer.source, answer.degraded_reason) == (source, "timeout")
            took = replica.clock.monotonic() - began
            assert took == pytest.approx(left - margin_seconds(left) * (1 - min(share, 0.5)))
            assert batch.look_ups == 1

    run_virtual(run())


def test_of_a_short_time_a_part_is_kept_to_step_down_in() -> None:
    async def run() -> None:
        async with open_replica(batch=FakeBatch(seconds=0.005)) as replica:
            replica.personalize.failure = HANG
            began = replica.clock.monotonic()
            waits_until = began + 0.2 - margin_seconds(0.2)
            asking = asyncio.create_task(replica.flights.outcome(KEY, ListRequest("user"), None, began + 0.2))
            await asyncio.sleep(waits_until - began + 0.001)
            # What steps down is waited for at the end, as the flight is.
            assert len(replica.flights._tasks) == 2
            outcome, _ = await asking
            assert outcome.degraded_reason == "timeout"
            assert replica.clock.monotonic() == pytest.approx(waits_until + 0.005)

    run_virtual(run())


def test_who_finds_no_place_to_wait_gets_the_same_for_some_seconds() -> None:
    async def run() -> None:
        async with open_replica(max_waiting=1) as replica:
            waiting = asyncio.create_task(replica.ask("first"))
            await asyncio.sleep(0.01)
            sent_away = await replica.ask("second")
            assert (sent_away.source, sent_away.degraded_reason) == ("popular", "budget")
            listed = (await waiting).shown
            assert (await replica.ask("second")).body == sent_away.body
            assert replica.personalize.transactions["second"] == 0
            await asyncio.sleep(PIN_SECONDS)
            assert (await replica.ask("second")).source == "personalize"
            # What was recommended is popular from then on.
            await asyncio.sleep(PIN_SECONDS)
            assert {*listed} <= {*(await replica.ask("", num_results=20)).shown}

    run_virtual(run())


def test_what_is_not_over_in_time_at_the_end_is_ended_and_waited_for() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.latency_seconds = 1.0
        asking = asyncio.create_task(one.ask())
        await asyncio.sleep(0.1)
        began = one.clock.monotonic()
        await one.flights.close(0.2)
        assert one.clock.monotonic() - began == pytest.approx(0.2 + 2 * store.delay_seconds, abs=0.01)
        assert len(one.flights) == 0
        assert (await asking).source == "popular"

    two(scenario)


def test_a_store_that_is_slow_to_say_what_was_answered_holds_a_degraded_answer_up_for_a_moment_only() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        await with_a_stale_list(one)
        personalize.latency_seconds = 1.2
        one.refresher.add(KEY, ListRequest("user"))
        await asyncio.sleep(0.3)
        store.delay_seconds = 0.4
        began = one.clock.monotonic()
        before = asyncio.all_tasks()
        assert (await one.ask()).source == "stale"
        assert one.clock.monotonic() - began == pytest.approx(SETTLING_SECONDS)
        # What is said to the store goes on behind the answer, and the end waits for it.
        behind = asyncio.all_tasks() - before
        assert behind
        assert behind <= one.flights._tasks
        # Who has less time waits for less.
        began, kept = one.clock.monotonic(), one.local.get(KEY)
        await one.flights.outcome(KEY, ListRequest("user"), kept, began + SETTLING_SECONDS / 2)
        assert one.clock.monotonic() - began == pytest.approx(SETTLING_SECONDS / 2)

    two(scenario)


def test_an_answer_says_how_long_the_batch_list_took() -> None:
    async def run() -> None:
        async with open_replica(batch=FakeBatch(seconds=0.02)) as replica:
            replica.personalize.failure = RecommenderError
            assert dict((await replica.ask()).timings)["batch"] == pytest.approx(20.0)

    run_virtual(run())


def test_the_slot_of_a_flight_is_the_turn_of_the_sender_who_boards_first() -> None:
    async def run() -> None:
        senders = [sender_of_key(number) for number in range(3)]
        begun, boarded = (
            Flight(KEY, ListRequest("user"), None, asyncio.get_running_loop().create_future(), 1.0, background=True)
            for _ in range(2)
        )
        for sender in senders:
            boarded.board(5.0, sender)
        assert (begun.sender, boarded.sender, boarded.callers) == (NOBODY, senders[0], 3)

    run_virtual(run())


def test_its_callers_wait_for_a_flight_until_the_latest_of_their_deadlines() -> None:
    async def run() -> None:
        future = asyncio.get_running_loop().create_future()
        for background, deadlines in ((False, [9.0, 9.0, 11.0, 11.0]), (True, [5.0, 5.0, 11.0, 11.0])):
            flight = Flight(KEY, ListRequest("user"), None, future, 9.0, background=background)
            found = []
            for until in (5.0, 3.0, 11.0, 4.0):
                flight.board(until)
                found.append(flight.deadline)
            assert found == deadlines

    run_virtual(run())


def test_a_list_of_which_the_store_has_not_heard_is_known_to_be_kept_here_only() -> None:
    async def run() -> None:
        clock, noted = VirtualClock(asyncio.get_running_loop()), []
        store = FakeStore(clock)
        shared = store.replica()
        shared.note = lambda key, *, shared: noted.append((key, shared))  # type: ignore[method-assign]  # listens
        async with open_replica(personalize=FakePersonalize(clock), shared=shared) as replica:
            store.down = True
            began = clock.monotonic()
            assert (await replica.ask()).source == "personalize"
            # Nobody waits for a store that is down.
            assert clock.monotonic() - began == pytest.approx(replica.personalize.latency_seconds)
            store.down = False
            await replica.ask("other")
        assert dict(noted) == {KEY: False, key_of("other"): True}

    run_virtual(run())


def test_a_caller_who_leaves_while_the_store_is_asked_costs_no_transaction() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.delay_seconds = 0.05
        gone = asyncio.create_task(one.ask())
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.5)
        assert not personalize.transactions

    two(scenario)


def test_a_degraded_answer_is_repeated_also_while_the_store_is_slow_to_hear_of_it() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.failure = RecommenderError
        asking = asyncio.create_task(one.ask())
        await asyncio.sleep(2 * store.delay_seconds)
        store.delay_seconds = 0.4
        first, began = await asking, one.clock.monotonic()
        assert (await one.ask()).body == first.body
        assert one.clock.monotonic() == began
        assert personalize.transactions["user"] == 1

    two(scenario)


def test_of_flights_that_are_over_nothing_is_kept() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, _store: FakeStore) -> None:
        await one.ask("well")
        personalize.failure = RecommenderError
        await one.ask("badly")
        assert not one.flights._tasks

    two(scenario)


def test_an_answer_says_how_many_milliseconds_each_wait_took() -> None:
    async def scenario(one: Replica, _other: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        personalize.latency_seconds = 0.3
        answers = await asyncio.gather(one.ask("first"), one.ask("second"))
        # One slot each 0.2 s.
        assert [dict(answer.timings) for answer in answers] == [
            {
                "store": pytest.approx(1.0),
                "budget": pytest.approx(waited, abs=0.01),
                "personalize": pytest.approx(300.0),
            }
            for waited in (0.0, 200.0)
        ]
        await asyncio.sleep(1.0)
        personalize.failure = RecommenderError
        timings = (await one.ask("third")).timings
        assert [name for name, _ in timings] == ["store", "budget", "personalize", "batch"]
        assert timings[-1][1] == pytest.approx(0.0)
        personalize.failure = None
        store.down = True
        assert dict((await one.ask("fourth")).timings)["store"] == pytest.approx(0.0)

    two(scenario)


def test_a_prewarm_whose_slot_comes_late_spends_nothing_for_nobody() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.delay_seconds = 0.2
        outcome, spent = await one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False)
        assert (outcome.degraded_reason, spent) == ("budget", False)
        assert not personalize.transactions
        assert (await one.ask()).source == "personalize"

    two(scenario)


def test_a_refresh_needs_no_shared_store() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        await with_a_stale_list(one)
        store.down = True
        await one.flights.refresh(KEY, ListRequest("user"), one.clock.monotonic())
        assert personalize.transactions["user"] == 2
        assert (await one.ask()).source == "cache"

    two(scenario)


def test_a_refresh_spends_nothing_on_a_fresh_list_of_another_replica() -> None:
    async def scenario(one: Replica, other: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        await other.ask()
        await one.flights.refresh(KEY, ListRequest("user"), one.clock.monotonic())
        assert personalize.transactions["user"] == 1

    two(scenario)


def test_what_is_begun_for_nobody_does_not_wait_for_the_replica_that_leads() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        await store.replica().board(KEY, lease_seconds=0.6)
        began = one.clock.monotonic()
        outcome, spent = await one.flights.prewarm(KEY, ListRequest("user"), began, renew=False)
        assert (outcome.degraded_reason, spent) == ("timeout", False)
        assert one.clock.monotonic() - began <= 3 * store.delay_seconds
        assert not personalize.transactions

    two(scenario)


def test_a_caller_who_boards_a_prewarm_follows_the_replica_that_leads() -> None:
    """K4."""

    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.delay_seconds = 0.05
        await store.replica().board(KEY, lease_seconds=0.6)
        flying = asyncio.create_task(one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False))
        await asyncio.sleep(0.01)
        answer = await one.ask()
        assert (answer.source, answer.degraded_reason) == ("personalize", None)
        assert (await flying)[0].source == "personalize"
        assert personalize.transactions.total() == 1

    two(scenario)


def test_a_caller_who_boards_a_prewarm_that_has_lost_the_store_goes_on_without_it() -> None:
    """K4."""

    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.delay_seconds = 0.05
        flying = asyncio.create_task(one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False))
        await asyncio.sleep(0.01)
        asking = asyncio.create_task(one.ask())
        await asyncio.sleep(0.01)
        store.down = True
        assert (await asking).source == "personalize"
        assert (await flying)[1]
        assert personalize.transactions.total() == 1

    two(scenario)


def test_a_prewarm_that_its_caller_has_left_gives_the_slot_on() -> None:
    """K4."""

    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        others = [asyncio.create_task(one.ask(f"other{number}")) for number in range(4)]
        await asyncio.sleep(0.01)
        store.delay_seconds = 0.15
        flying = asyncio.create_task(one.flights.prewarm(KEY, ListRequest("user"), one.clock.monotonic(), renew=False))
        await asyncio.sleep(0.1)
        gone = asyncio.create_task(one.ask())
        await asyncio.sleep(0.06)
        gone.cancel()
        outcome, spent = await flying
        assert (outcome.degraded_reason, spent) == ("error", False)
        await asyncio.gather(*others)
        assert "user" not in personalize.transactions

    two(scenario)


def test_of_two_kept_lists_the_newer_one_counts_and_of_two_as_old_the_one_that_was_known() -> None:
    old, new, as_new = (seal(ItemList((item,), "", made)) for item, made in [("a", 1.0), ("b", 2.0), ("c", 2.0)])
    found = [newer(one, other) for one, other in [(old, new), (new, old), (new, as_new), (None, old), (old, None)]]
    assert found == [new, new, new, old, old]
    assert newer(None, None) is None
