"""What an explanation says of a user, word for word: lists, the next call, and what becomes of each item."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.answers import explain as module
from service.answers.explain import explain
from service.answers.ports import NoEvents, PinnedAnswer, SendRecord
from service.errors import InvalidQuery, RecommenderError
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey
from service.lists.ports import Outcome
from service.models import ItemList, RecommendationQuery
from service.settings.placements import PinTerms, PlacementTerms
from tests.support.fakes import FakeCatalog, FakeStore
from tests.support.replica import ARN, FRESH_SECONDS, ITEMS, Replica, items_for, open_replica
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtual

LISTED = items_for("user", 25)
PINNED = next(one for one in ITEMS[10:] if one not in LISTED)


@dataclass
class Sends:
    """What a user was shown in sends."""

    record: SendRecord
    seconds: list[float] = field(default_factory=list)

    async def look(self, placement: str, query: RecommendationQuery, within_seconds: float) -> SendRecord:
        assert (placement, query.user_id) == ("for-you", "user")
        self.seconds.append(within_seconds)
        await asyncio.sleep(0.1)
        return self.record

    async def keep(self, placement: str, query: RecommendationQuery, pinned: PinnedAnswer, *_: object) -> PinnedAnswer:
        raise AssertionError(placement, query, pinned)


class Did(NoEvents):
    """What users did, by type, item and time."""

    def __init__(self, **by_type: Mapping[str, float]) -> None:
        self.done = by_type

    def by_type(self, user_id: str) -> Mapping[str, Mapping[str, float]] | None:
        return self.done if user_id == "user" else None

    def items(self, user_id: str) -> frozenset[str]:
        return frozenset(self.done.get("Purchase", ())) if user_id == "user" else frozenset()


class Batch:
    """A batch list for everybody, just made."""

    async def get(self, key: UserKey) -> Envelope | None:
        return seal(ItemList(("item7",), "", EPOCH + 1000.0)) if key else None

    async def forget_user(self, *_: object) -> None:
        """Nothing is kept."""


def play(scenario: Callable[[Replica], Awaitable[None]], **more: Any) -> None:  # noqa: ANN401  # keywords of the replica
    async def run() -> None:
        async with open_replica(**more) as replica:
            await scenario(replica)

    run_virtual(run())


async def explained(replica: Replica, num_results: int = 3, user_id: str = "user", **more: Any) -> dict[str, Any]:  # noqa: ANN401  # keywords of the query
    query = RecommendationQuery(user_id, num_results, **more)
    before = replica.personalize.transactions.total()
    found = await explain(replica.placement, query, clock=replica.clock, seconds=1.0)
    assert replica.personalize.transactions.total() == before
    return found


def call(does: str, source: str, reason: str | None = None, rid: str | None = None) -> dict[str, Any]:
    return {
        "does": does,
        "transactions": int(does == "ask"),
        "source": source,
        "reason": reason,
        "recommendation_id": rid,
    }


def items(found: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (one["id"], one["rank"], one["place"], one["dropped_by"], one["moved_by"], one["from"])
        for one in found["items"]
    ]


def plain(ids: Collection[str], shown: int) -> list[tuple[object, ...]]:
    """A list of which nothing is dropped."""
    return [
        (one, rank, rank if rank <= shown else None, None if rank <= shown else "num_results", None, "list")
        for rank, one in enumerate(ids, 1)
    ]


def kept(where: str, age: int, rid: str | None, count: int, *, fresh: bool) -> dict[str, Any]:
    return {
        "kept_in": where,
        "source": "batch" if where == "batch" else "personalize",
        "age_seconds": age,
        "fresh": fresh,
        "recommendation_id": rid,
        "variant": None,
        "items": count,
    }


def test_of_a_user_of_whom_nothing_is_kept_the_popular_list_is_shown_if_personalize_has_no_time() -> None:
    async def scenario(replica: Replica) -> None:
        assert await explained(replica) == {
            "placement": "for-you",
            "variant": None,
            "lists": [],
            "next_call": call("ask", "popular", "budget"),
            "items": [
                # The popular list is a list too.
                {
                    "id": one,
                    "rank": rank,
                    "place": rank if rank <= 3 else None,
                    "dropped_by": None if rank <= 3 else "num_results",
                    "moved_by": None,
                    "from": "list",
                }
                for rank, one in enumerate(ITEMS[:100], 1)
            ],
            "because_of_item": None,
            "events": [],
        }
        nobody = await explained(replica, user_id="")
        assert nobody["next_call"] == call("substitute", "popular", "no_user")
        assert nobody["lists"] == []

    play(scenario)


def test_lists_are_named_with_their_age_wherever_they_are() -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        store = FakeStore(clock)
        async with open_replica(shared=store.replica(), batch=Batch()) as replica:
            began = clock.monotonic()
            await replica.ask(num_results=3)
            made = clock.monotonic()
            await asyncio.sleep(began + 10.5 - made)
            found = await explained(replica)
            batch = kept("batch", 10, None, 1, fresh=False)
            both = [kept(where, 10, "RID-1", 25, fresh=True) for where in ("memory", "shared")]
            assert found["lists"] == [*both, batch]
            assert found["next_call"] == call("show", "cache", None, "RID-1")
            assert items(found) == plain(LISTED, 3)
            await asyncio.sleep(FRESH_SECONDS)
            found = await explained(replica)
            both = [kept(where, 910, "RID-1", 25, fresh=False) for where in ("memory", "shared")]
            assert found["lists"] == [*both, kept("batch", 910, None, 1, fresh=False)]
            assert found["next_call"] == call("ask", "stale", "budget", "RID-1")
            # Another replica renews it.
            store.lists.clear()
            replica.local.clear()
            found = await explained(replica, 1)
            assert found["next_call"] == call("ask", "batch", "budget")
            assert items(found) == plain(["item7"], 1)
            replica.clock.skew = -1e6
            assert [one["age_seconds"] for one in (await explained(replica))["lists"]] == [0]

    run_virtual(run())


def test_an_answer_that_is_repeated_and_a_breaker_that_is_open_are_said() -> None:
    async def scenario(replica: Replica) -> None:
        replica.personalize.failure = RecommenderError
        await replica.ask()
        assert (await explained(replica))["next_call"] == call("repeat", "popular", "error")
        for number in range(6):
            await replica.ask(f"other{number}")
        assert (await explained(replica, user_id="new"))["next_call"] == call("substitute", "popular", "breaker")

    play(scenario, tps=100.0)


def test_to_explain_the_list_of_a_fallback_is_not_to_answer_with_it() -> None:
    similar = PlacementTerms(kind="similar-items", campaign_arn=f"{ARN}-2", tps=100.0, fallback=["for-you"])

    async def scenario(replica: Replica) -> None:
        await replica.ask()
        replica.personalize.failure = RecommenderError
        query = RecommendationQuery("user", 3, kind="similar-items", item_id="item7")
        placement = replica.wired.placements.of(query)
        found = await explain(placement, query, clock=replica.clock, seconds=1.0)
        assert found["next_call"]["recommendation_id"] == "RID-1"
        replica.local.clear()
        assert (await replica.answer(query)).placement == "similar"

    play(scenario, placements={"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0), "similar": similar})


def test_each_item_has_what_drops_or_moves_it() -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask()
        replica.arm.assembly._rules.own_events = Did(
            Purchase={LISTED[2]: 5.0}, View={"item9": 7.0, "": 6.0}, Click={"item8": 5.0}
        )
        replica.blocked.replace(frozenset({LISTED[3]}))
        found = await explained(replica, 4, exclude=frozenset({LISTED[1]}))
        listed = [
            (LISTED[0], 1, 1, None, None, "list"),
            (LISTED[1], 2, None, "requested", None, "list"),
            (LISTED[2], 3, None, "bought", None, "list"),
            (LISTED[3], 4, None, "blocked", None, "list"),
            (LISTED[4], 5, 3, None, None, "list"),
            (LISTED[5], 6, 4, None, None, "list"),
        ]
        assert items(found)[:6] == listed
        assert items(found)[25:] == [(PINNED, None, 2, None, "pin", "pin")]
        assert found["events"] == [
            {"event_type": "View", "item_id": "item9", "at": 7.0, "excludes": False},
            {"event_type": "View", "item_id": None, "at": 6.0, "excludes": False},
            {"event_type": "Purchase", "item_id": LISTED[2], "at": 5.0, "excludes": True},
            {"event_type": "Click", "item_id": "item8", "at": 5.0, "excludes": False},
        ]
        # As of a user whose events are not here.
        assert (await explained(replica, 4, user_id="stranger"))["events"] is None
        # A pin that is of the list keeps its rank.
        found = await explained(replica, 2, exclude=frozenset(LISTED))
        assert Counter(one[3] for one in items(found)[:25]) == {"requested": 25}
        # What is shown is not of Personalize's list.
        assert found["next_call"] == call("show", "popular", "error")
        assert items(found)[25:] == [
            ("item0", None, 1, None, None, "popular"),
            (PINNED, None, 2, None, "pin", "pin"),
        ]

    pins = [PinTerms(item=PINNED, slot=2)]
    play(scenario, placements={"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0, pin=pins)})


def test_boosted_and_buried_items_and_those_of_the_last_sends_have_moved() -> None:
    class Priced(FakeCatalog):
        columns = ("color",)

    async def scenario(replica: Replica) -> None:
        await replica.ask()
        found = {one[0]: one[1:] for one in items(await explained(replica))}
        assert found[LISTED[4]] == (5, 1, None, "boost", "list")
        assert found[LISTED[0]] == (1, None, "num_results", "bury", "list")
        assert found[LISTED[1]] == (2, 2, None, None, "list")
        # What the catalogue no longer holds is neither.
        replica.catalog.change(remove=[LISTED[7]])
        found = {one[0]: one[1:] for one in items(await explained(replica, 10))}
        assert found[LISTED[7]] == (8, None, "unknown", None, "list")
        sends = Sends(SendRecord(shown_before=frozenset({LISTED[1], LISTED[4]})))
        replica.placement.sends = sends
        found = {one[0]: one[1:] for one in items(await explained(replica, rotate=1))}
        assert found[LISTED[1]] == (2, None, "num_results", "rotate", "list")
        assert found[LISTED[4]][3] == "rotate"
        assert found[LISTED[2]] == (3, 1, None, None, "list")
        assert sends.seconds == [1.0]
        # Without a word of sends nobody looks.
        await explained(replica)
        await explained(replica, user_id="", send="s")
        assert len(sends.seconds) == 1

    rule = "INCLUDE ItemID WHERE Items.COLOR IN ({})"
    play(
        scenario,
        placements={
            "for-you": PlacementTerms(
                campaign_arn=ARN,
                tps=100.0,
                boost=rule.format(f'"color of {LISTED[4]}"'),
                bury=rule.format(f'"color of {LISTED[0]}"'),
            )
        },
        catalog=Priced(ITEMS),
    )


@pytest.mark.parametrize(("asked", "repeats"), [(2, False), (3, True), (4, True)])
def test_what_a_send_has_pinned_is_repeated_if_it_is_long_enough(asked: int, *, repeats: bool) -> None:
    async def scenario(replica: Replica) -> None:
        await replica.ask()
        shown = ItemList(("item150", "item151", "item152", "item153")[:asked], "RID-pinned", EPOCH)
        pinned = PinnedAnswer(asked, Outcome(seal(shown), "stale", "budget"), "elsewhere", "item9")
        replica.placement.sends = Sends(SendRecord(pinned, frozenset({"item150"})))
        found = await explained(replica, send="s")
        if repeats:
            assert found["next_call"] == call("repeat", "stale", "budget", "RID-pinned")
            assert (found["placement"], found["because_of_item"]) == ("elsewhere", "item9")
            assert items(found) == plain(shown.item_ids, 3)
        else:
            assert found["next_call"] == call("show", "cache", None, "RID-1")
            assert (found["placement"], found["because_of_item"]) == ("for-you", None)
            assert [one[0] for one in items(found) if one[2]] == [LISTED[0], "item150", "item151"]

    play(scenario)


def test_of_a_long_list_the_first_items_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXPLAINED", 10)

    async def scenario(replica: Replica) -> None:
        await replica.ask()
        assert items(await explained(replica)) == plain(LISTED[:10], 3)

    play(scenario)


def test_a_field_that_there_is_not_is_refused_as_in_an_answer() -> None:
    async def scenario(replica: Replica) -> None:
        with pytest.raises(InvalidQuery, match="no catalogue column 'size'"):
            await explained(replica, fields=("size",))

    play(scenario)
