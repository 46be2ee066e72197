"""How an answer is found, rung by rung, through the real core in virtual time."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from service.clock import MAX_MARGIN_SECONDS
from service.constants import PIN_SECONDS
from service.errors import (
    InvalidQuery,
    RecommenderError,
    RecommenderRefused,
    RecommenderThrottled,
)
from service.lists.envelope import Envelope
from service.lists.freshness import Freshness
from service.models import RecommendationQuery
from service.personalize.breaker import FAILURES_TO_OPEN, OPEN_SECONDS
from tests.support.fakes import HANG, FakeCatalog, FakePersonalize, FakeStore, GarbageError
from tests.support.replica import (
    ARN,
    DEADLINE_SECONDS,
    FRESH_SECONDS,
    ITEMS,
    STALE_SECONDS,
    Replica,
    ids_of,
    items_for,
    key_of,
    open_replica,
)
from tests.support.virtual_time import VirtualClock, run_virtual, stall


def _on_one_replica(
    scenario: Callable[[Replica], Awaitable[None]], tps: float = 5.0, catalog: FakeCatalog | None = None
) -> None:
    async def run() -> None:
        async with open_replica(tps=tps, catalog=catalog) as replica:
            await scenario(replica)

    run_virtual(run())


def test_a_list_is_live_once_and_cached_while_it_is_fresh() -> None:
    async def scenario(replica: Replica) -> None:
        live = await replica.ask()
        assert (live.source, live.degraded_reason, live.age_seconds) == ("personalize", None, 0)
        assert live.recommendation_id == "RID-1"
        await asyncio.sleep(FRESH_SECONDS - 10)
        cached = await replica.ask()
        assert (cached.source, cached.degraded_reason) == ("cache", None)
        assert cached.recommendation_id == "RID-1"
        assert cached.age_seconds == pytest.approx(FRESH_SECONDS - 10, abs=1)
        assert cached.body == live.body
        assert replica.personalize.transactions.total() == 1

    _on_one_replica(scenario)


def test_a_stale_list_is_renewed_live_when_a_slot_is_free() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask()
        await asyncio.sleep(FRESH_SECONDS + 1)
        again = await replica.ask()
        assert (again.source, again.age_seconds) == ("personalize", 0)
        assert replica.personalize.transactions["user"] == 2

    _on_one_replica(scenario)


def test_a_stale_list_is_served_at_once_when_no_slot_is_free_and_renewed_later() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask()
        await asyncio.sleep(FRESH_SECONDS + 1)
        others = [asyncio.create_task(replica.ask(f"other{one}")) for one in range(3)]
        await asyncio.sleep(0.01)
        began = replica.clock.monotonic()
        stale = await replica.ask()
        assert replica.clock.monotonic() == began
        assert (stale.source, stale.degraded_reason) == ("stale", "budget")
        assert stale.age_seconds is not None
        assert stale.age_seconds > FRESH_SECONDS
        await asyncio.gather(*others)
        await asyncio.sleep(PIN_SECONDS + 1)
        assert replica.personalize.transactions["user"] == 2
        renewed = await replica.ask()
        assert renewed.source == "cache"
        assert len(replica.refresher) == 0

    _on_one_replica(scenario)


def test_a_list_past_the_stale_horizon_is_not_shown() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask()
        await asyncio.sleep(STALE_SECONDS + 1)
        replica.personalize.failure = RecommenderError
        answer = await replica.ask()
        assert (answer.source, answer.degraded_reason) == ("popular", "error")
        assert answer.age_seconds is None
        assert answer.recommendation_id == ""

    _on_one_replica(scenario)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (HANG, "timeout"),
        (RecommenderError, "error"),
        (GarbageError, "error"),
        (RecommenderRefused, "error"),
        (RecommenderThrottled, "throttled"),
        (ValueError, "error"),
    ],
)
def test_a_failed_transaction_is_answered_from_the_ladder_in_time(
    failure: type[Exception] | str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask("known")
        await asyncio.sleep(FRESH_SECONDS + 1)
        replica.personalize.failure = failure
        for user, source in (("unknown", "popular"), ("known", "stale")):
            began = replica.clock.monotonic()
            answer = await replica.ask(user)
            assert replica.clock.monotonic() - began <= DEADLINE_SECONDS
            assert (answer.source, answer.degraded_reason) == (source, reason)
            assert len(set(ids_of(answer))) == 10
            await asyncio.sleep(2)

    _on_one_replica(scenario)
    caplog.clear()


def test_an_empty_list_is_answered_from_the_ladder() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.lists["user"] = ()
        answer = await replica.ask()
        assert (answer.source, answer.degraded_reason) == ("popular", "error")
        assert len(ids_of(answer)) == 10
        assert replica.recorder.transactions == {"empty": 1}

    _on_one_replica(scenario)


def test_throttling_lowers_the_rate_in_use() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.failure = RecommenderThrottled
        await replica.ask()
        assert replica.budget.tps_in_use < 3

    _on_one_replica(scenario)


def test_a_degraded_answer_is_repeated_for_some_seconds_and_then_made_good() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.failure = RecommenderError
        first = await replica.ask()
        replica.personalize.failure = None
        await asyncio.sleep(PIN_SECONDS - 1)
        second = await replica.ask()
        assert second.body == first.body
        assert second.degraded_reason == "error"
        await asyncio.sleep(2)
        third = await replica.ask()
        assert (third.source, third.degraded_reason) == ("personalize", None)

    _on_one_replica(scenario)


def test_calls_of_one_message_agree_even_if_one_had_less_time() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.latency_seconds = 0.5
        short, long = await asyncio.gather(replica.ask(within=0.3), replica.ask())
        assert short.degraded_reason == long.degraded_reason == "timeout"
        assert short.body == long.body
        assert replica.personalize.transactions.total() == 1
        await asyncio.sleep(PIN_SECONDS + 1)
        later = await replica.ask()
        assert later.source == "cache"

    _on_one_replica(scenario)


def test_no_user_gets_the_popular_list_without_a_transaction() -> None:
    async def scenario(replica: Replica) -> None:
        answer = await replica.ask("")
        assert (answer.source, answer.degraded_reason) == ("popular", "no_user")
        assert replica.personalize.transactions.total() == 0

    _on_one_replica(scenario)


def test_what_no_slot_can_be_had_for_is_known_at_once() -> None:
    async def scenario(replica: Replica) -> None:
        waiting = [asyncio.create_task(replica.ask(f"user{one}")) for one in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        began = replica.clock.monotonic()
        answer = await replica.ask("late")
        assert replica.clock.monotonic() == began
        assert (answer.source, answer.degraded_reason) == ("popular", "budget")
        await asyncio.gather(*waiting)

    _on_one_replica(scenario)


def test_a_slot_that_comes_late_is_not_used() -> None:
    async def scenario(replica: Replica) -> None:
        asks = [asyncio.create_task(replica.ask(f"user{one}")) for one in range(4)]
        await asyncio.sleep(0.1)
        # The slots at 0.2 and 0.4 s pass while the loop stands still.
        stall(0.45)
        await asyncio.gather(*asks)
        starts = replica.personalize.started_at
        assert len(starts) == 4
        assert all(later - earlier > 0.099 for earlier, later in pairwise(starts))

    _on_one_replica(scenario)


def test_the_deadline_holds_when_personalize_hangs() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.failure = HANG
        began = replica.clock.monotonic()
        answer = await replica.ask(within=0.7)
        assert replica.clock.monotonic() - began <= 0.7
        assert answer.degraded_reason == "timeout"
        assert len(ids_of(answer)) == 10

    _on_one_replica(scenario)


def test_a_caller_that_gives_up_does_not_cancel_the_others() -> None:
    async def scenario(replica: Replica) -> None:
        gone = asyncio.create_task(replica.ask())
        stays = asyncio.create_task(replica.ask())
        await asyncio.sleep(0.01)
        gone.cancel()
        assert (await stays).source == "personalize"
        assert gone.cancelled()
        assert replica.personalize.transactions.total() == 1

    _on_one_replica(scenario)


def test_a_transaction_once_spent_is_kept_though_all_callers_are_gone() -> None:
    async def scenario(replica: Replica) -> None:
        gone = asyncio.create_task(replica.ask())
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(1)
        assert (await replica.ask()).source == "cache"

    _on_one_replica(scenario)


def test_the_slot_of_the_last_caller_that_leaves_goes_to_the_next_waiter() -> None:
    async def scenario(replica: Replica) -> None:
        began = replica.clock.monotonic()
        asks = [asyncio.create_task(replica.ask(f"user{one}")) for one in range(4)]
        await asyncio.sleep(0.05)
        asks[1].cancel()
        await asyncio.gather(*asks, return_exceptions=True)
        starts = [one - began for one in replica.personalize.started_at]
        assert starts == pytest.approx([0.0, 0.2, 0.4])
        assert replica.personalize.transactions["user1"] == 0

    _on_one_replica(scenario)


def test_a_caller_that_comes_as_the_last_one_leaves_is_not_turned_away() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask("before")
        gone = asyncio.create_task(replica.ask())
        await asyncio.sleep(0.01)
        gone.cancel()
        comes = asyncio.create_task(replica.ask())
        assert (await comes).source == "personalize"

    _on_one_replica(scenario)


def test_the_breaker_opens_lets_one_through_and_closes() -> None:
    async def scenario(replica: Replica) -> None:
        personalize = replica.personalize
        personalize.failure = RecommenderError
        for one in range(FAILURES_TO_OPEN):
            await replica.ask(f"user{one}")
        assert (await replica.ask("refused")).degraded_reason == "breaker"
        assert personalize.transactions["refused"] == 0
        await asyncio.sleep(OPEN_SECONDS)
        probes = await asyncio.gather(*(replica.ask(f"probe{one}") for one in range(3)))
        assert [one.degraded_reason for one in probes].count("error") == 1
        assert [one.degraded_reason for one in probes].count("breaker") == 2
        assert personalize.transactions.total() == FAILURES_TO_OPEN + 1
        await asyncio.sleep(OPEN_SECONDS)
        personalize.failure = None
        assert (await replica.ask("closes")).source == "personalize"
        answers = await asyncio.gather(*(replica.ask(f"well{one}") for one in range(3)))
        assert {one.source for one in answers} == {"personalize"}

    _on_one_replica(scenario, tps=20)


def test_a_cached_list_serves_every_shape_of_answer_without_a_transaction() -> None:
    async def scenario(replica: Replica) -> None:
        first = ids_of(await replica.ask())
        assert ids_of(await replica.ask(num_results=3)) == first[:3]
        assert len(set(ids_of(await replica.ask(num_results=100)))) == 100
        assert ids_of(await replica.ask(exclude=first[:2]))[:8] == first[2:]
        rows = json.loads((await replica.ask(fields=["color", "name", "color"])).body)
        assert rows[0]["color"] == f"color of {first[0]}"
        query = RecommendationQuery(user_id="user", num_results=4, answer_format="object")
        answer = await replica.answer(query, 1)
        whole = json.loads(answer.body)
        assert [one["id"] for one in whole["items"]] == first[:4]
        assert {name: whole[name] for name in whole if name != "items"} == {
            "count": 4,
            "source": "cache",
            "degraded_reason": None,
            "recommendation_id": "RID-1",
            "placement": "for-you",
            "variant": None,
            "because": None,
            "topped_up": 0,
            "popular": False,
        }
        assert replica.personalize.transactions.total() == 1

    _on_one_replica(scenario)


def test_an_unknown_field_is_refused_before_a_transaction() -> None:
    async def scenario(replica: Replica) -> None:
        with pytest.raises(InvalidQuery, match="no catalogue column 'size'"):
            await replica.ask(fields=["size"])
        assert replica.personalize.transactions.total() == 0

    _on_one_replica(scenario)


def test_what_may_not_be_shown_is_dropped_and_refilled_at_once() -> None:
    async def scenario(replica: Replica) -> None:
        ids = ids_of(await replica.ask(num_results=25))
        replica.blocked.replace(frozenset(ids[:1]))
        replica.catalog.change(remove=ids[1:2], ineligible=ids[2:3])
        answer = await replica.ask(num_results=25, exclude=ids[3:4])
        shown = ids_of(answer)
        assert shown[:21] == ids[4:]
        assert len(set(shown)) == 25
        assert not set(ids[:4]) & set(shown)
        assert answer.source == "cache"
        assert dict(answer.dropped) == {"blocked": 1, "unknown": 1, "excluded": 1, "requested": 1}

    _on_one_replica(scenario)


def test_an_answer_is_short_only_if_nothing_else_may_be_shown() -> None:
    async def scenario(replica: Replica) -> None:
        answer = await replica.ask(num_results=10, exclude=ITEMS[:193])
        assert sorted(ids_of(answer)) == sorted(ITEMS[193:])
        replica.blocked.replace(frozenset(ITEMS))
        empty = await replica.ask()
        assert (empty.body, empty.source) == (b"[]", "empty")

    _on_one_replica(scenario)


def test_a_catalogue_that_begins_with_what_may_not_be_shown_still_fills_the_answer() -> None:
    ids = [f"out{one}" for one in range(12_000)] + [f"in{one}" for one in range(20)]

    async def scenario(replica: Replica) -> None:
        replica.catalog.change(ineligible=ids[:12_000])
        answer = await replica.ask("")
        assert ids_of(answer) == ids[12_000:12_010]
        assert len(ids_of(await replica.ask("", num_results=15, exclude=ids[12_000:12_005]))) == 15

    _on_one_replica(scenario, catalog=FakeCatalog(ids))


def test_curated_items_lead_the_popular_list() -> None:
    async def run() -> None:
        async with open_replica(curated=["item7", "gone", "item5", "item7"]) as replica:
            assert ids_of(await replica.ask(""))[:2] == ["item7", "item5"]

    run_virtual(run())


def test_what_is_recommended_most_is_popular() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.default_items = lambda user, _: ("item150", "item160") if user != "user0" else ITEMS[:5]
        for one in range(60):
            await replica.ask(f"user{one}")
        await asyncio.sleep(PIN_SECONDS + 1)
        assert set(ids_of(await replica.ask(""))[:2]) == {"item150", "item160"}

    _on_one_replica(scenario, tps=20)


def test_a_longer_list_is_fetched_once_more_is_asked_or_dropped() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask("one")
        await replica.ask("two", num_results=60)
        await replica.ask("three")
        assert [one.num_results for one in replica.personalize.requests] == [25, 60, 60]
        replica.blocked.replace(frozenset(ITEMS[::2]))
        for _ in range(100):
            await replica.ask("three", num_results=60)
        await replica.ask("four")
        assert replica.personalize.requests[-1].num_results > 100

    _on_one_replica(scenario)


def test_closing_waits_for_the_transaction_under_way_and_keeps_its_list() -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock)
        async with open_replica(shared=store.replica()) as replica:
            gone = asyncio.create_task(replica.ask())
            await asyncio.sleep(0.02)
            gone.cancel()
        assert len(store.lists) == 1

    run_virtual(run())


async def _two(
    scenario: Callable[[Replica, Replica, FakePersonalize, FakeStore], Awaitable[None]],
) -> None:
    clock = VirtualClock(asyncio.get_running_loop())
    store = FakeStore(clock)
    personalize = FakePersonalize(clock)
    personalize.default_items = items_for
    async with (
        open_replica(personalize=personalize, shared=store.replica()) as one,
        open_replica(personalize=personalize, shared=store.replica(), governor=one.governors[ARN]) as two,
    ):
        await scenario(one, two, personalize, store)


def test_a_follower_gets_the_leaders_list() -> None:
    async def scenario(one: Replica, two: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        first, second = await asyncio.gather(one.ask(), two.ask())
        assert first.source == second.source == "personalize"
        assert first.body == second.body
        assert personalize.transactions.total() == 1
        assert (await two.ask()).source == "cache"

    run_virtual(_two(scenario))


def test_a_list_made_by_one_replica_is_served_by_the_other() -> None:
    async def scenario(one: Replica, two: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        first = await one.ask()
        second = await two.ask()
        assert second.source == "cache"
        assert second.body == first.body
        assert personalize.transactions.total() == 1

    run_virtual(_two(scenario))


@pytest.mark.parametrize("skew", [60.0, 3600.0])
def test_a_list_of_a_replica_whose_clock_is_fast_is_stale_for_the_others(skew: float) -> None:
    """J4."""

    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock)
        async with (
            open_replica(shared=store.replica(), clock_skew=skew) as fast,
            open_replica(shared=store.replica()) as right,
        ):
            assert (await fast.ask()).source == "personalize"
            right.personalize.failure = RecommenderError
            assert (await right.ask()).source == "stale"
            await asyncio.sleep(PIN_SECONDS + 1)
            right.personalize.failure = None
            assert (await right.ask()).source == "personalize"
            assert (await right.ask()).source == "cache"

    run_virtual(run())


def test_what_a_follower_heard_from_a_replica_whose_clock_is_fast_is_stale_afterwards() -> None:
    """J4."""

    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock)
        async with (
            open_replica(shared=store.replica(), clock_skew=3600) as fast,
            open_replica(shared=store.replica()) as right,
        ):
            fast.personalize.default_items = items_for
            first, second = await asyncio.gather(fast.ask(), right.ask())
            assert first.body == second.body
            assert (await right.ask()).source == "personalize"
            assert right.personalize.transactions.total() == 1

    run_virtual(run())


def test_a_degraded_answer_is_repeated_by_the_other_replica() -> None:
    async def scenario(one: Replica, two: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        personalize.failure = RecommenderError
        first = await one.ask()
        await asyncio.sleep(0.1)
        personalize.failure = None
        second = await two.ask()
        assert second.degraded_reason == "error"
        assert second.body == first.body

    run_virtual(_two(scenario))


def test_when_a_leader_leaves_the_follower_leads() -> None:
    async def scenario(one: Replica, two: Replica, personalize: FakePersonalize, _: FakeStore) -> None:
        await one.ask("before")
        leader = asyncio.create_task(one.ask())
        await asyncio.sleep(0.01)
        follower = asyncio.create_task(two.ask())
        await asyncio.sleep(0.01)
        leader.cancel()
        assert (await follower).source == "personalize"
        assert personalize.transactions["user"] == 1

    run_virtual(_two(scenario))


def test_when_a_leader_dies_its_followers_are_answered_in_time_and_lead_once_its_lease_is_over() -> None:
    async def scenario(_: Replica, two: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        dead = store.replica()
        key = key_of("user")
        await dead.board(key, lease_seconds=1.0)
        began = two.clock.monotonic()
        answer = await two.ask()
        assert answer.source == "personalize"
        assert two.clock.monotonic() - began <= DEADLINE_SECONDS - MAX_MARGIN_SECONDS
        await asyncio.sleep(PIN_SECONDS + 1)
        other = key_of("other")
        await dead.board(other, lease_seconds=3.0)
        began = two.clock.monotonic()
        answer = await two.ask("other")
        assert two.clock.monotonic() - began <= DEADLINE_SECONDS
        assert (answer.source, answer.degraded_reason) == ("popular", "timeout")
        assert personalize.transactions["other"] == 0
        await asyncio.sleep(PIN_SECONDS + 1)
        assert (await two.ask("other")).source == "personalize"

    run_virtual(_two(scenario))


def test_without_the_store_a_replica_answers_by_itself() -> None:
    async def scenario(one: Replica, _: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        store.down = True
        assert (await one.ask()).source == "personalize"
        assert (await one.ask()).source == "cache"
        assert personalize.transactions.total() == 1

    run_virtual(_two(scenario))


def test_a_follower_goes_on_by_itself_as_soon_as_the_store_is_lost() -> None:
    async def scenario(_: Replica, two: Replica, personalize: FakePersonalize, store: FakeStore) -> None:
        key = key_of("user")
        await store.replica().board(key, lease_seconds=3.0)
        began = two.clock.monotonic()
        follower = asyncio.create_task(two.ask())
        await asyncio.sleep(0.3)
        store.down = True
        assert (await follower).source == "personalize"
        assert two.clock.monotonic() - began == pytest.approx(0.3 + personalize.latency_seconds, abs=0.01)

    run_virtual(_two(scenario))


def test_a_stored_list_of_another_version_counts_as_missing() -> None:
    async def scenario(one: Replica, _: Replica, __: FakePersonalize, store: FakeStore) -> None:
        key = key_of("user")
        store.freshness = Freshness(0, 1)
        store.lists[key] = Envelope(b"\x63" + bytes(40))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.support.fakes.created_at", lambda _: 0.0)
            assert (await one.ask()).source == "personalize"

    run_virtual(_two(scenario))
