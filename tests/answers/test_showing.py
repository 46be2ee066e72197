"""Where an answer says that it is from, and what fills it up."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.answers.ports import NoEvents
from service.answers.selection import Selection
from service.answers.showing import Shown
from service.errors import DegradedReason, InvalidQuery, RecommenderError
from service.lists.envelope import seal
from service.lists.ports import Outcome, OutcomeSource
from service.models import ItemList, RecommendationQuery, RequestKind
from service.settings.placements import PlacementTerms
from tests.support.fakes import FakeCatalog
from tests.support.replica import ARN, ITEMS, items_for, key_of, open_replica
from tests.support.virtual_time import run_virtual

WANTED = 3
LIST = seal(ItemList(("a",), "RID", 1.0))


@pytest.mark.parametrize(
    ("kind", "source", "reason", "listed", "rows", "said"),
    [
        ("recommendations", "cache", None, 3, 3, ("cache", None)),
        ("recommendations", "cache", None, 1, 3, ("cache", None)),
        ("recommendations", "cache", None, 2, 2, ("cache", "short")),
        ("recommendations", "stale", "budget", 3, 3, ("stale", "budget")),
        ("recommendations", "stale", "budget", 2, 2, ("stale", "budget")),
        # Nothing of the list may be shown.
        ("recommendations", "cache", None, 0, 3, ("popular", "error")),
        ("recommendations", "stale", "budget", 0, 3, ("popular", "budget")),
        ("recommendations", "cache", None, 0, 0, ("empty", "short")),
        ("recommendations", "stale", "budget", 0, 0, ("empty", "budget")),
        ("recommendations", "none", None, 3, 3, ("popular", "error")),
        # A holdout.
        ("recommendations", "popular", None, 3, 3, ("popular", None)),
        ("recommendations", "popular", None, 0, 3, ("popular", None)),
        ("recommendations", "popular", "timeout", 3, 3, ("popular", "timeout")),
        ("recommendations", "popular", "timeout", 0, 2, ("popular", "timeout")),
        ("similar-items", "cache", None, 2, 2, ("cache", "short")),
        # Who ranks three items, of which two may be shown, gets what there is.
        ("ranking", "cache", None, 2, 2, ("cache", None)),
        ("ranking", "cache", None, 0, 3, ("unranked", "error")),
        ("ranking", "popular", "budget", 0, 3, ("unranked", "budget")),
        ("ranking", "cache", None, 0, 0, ("empty", "short")),
    ],
)
def test_an_answer_says_where_it_is_from_and_why_it_is_less_than_wanted(
    *,
    kind: RequestKind,
    source: OutcomeSource,
    reason: DegradedReason | None,
    listed: int,
    rows: int,
    said: tuple[str, DegradedReason | None],
) -> None:
    async def run() -> None:
        async with open_replica(placements={"a": PlacementTerms(kind=kind, campaign_arn=ARN, tps=1.0)}) as replica:
            showing, catalog = replica.arm.assembly.showing, FakeCatalog(ITEMS)
            query = RecommendationQuery("ann", WANTED, kind=kind)

            def label(envelope: bool, only_pins: bool = False) -> object:  # noqa: FBT001, FBT002  # two words
                found = [row for row in catalog.rows(ITEMS[:rows]) if row is not None]
                shown = Shown(Selection(rows=found), catalog, listed=listed, only_pins=only_pins)
                return showing.label(query, Outcome(LIST if envelope else None, source, reason), shown)

            assert label(envelope=True) == said
            if not listed and not rows:
                # Where there is no list, it is not short.
                assert label(envelope=False) == ("empty", reason or "error")
            if not listed and rows == WANTED and source != "none":
                # Pins leave no place for the list.
                assert label(envelope=True, only_pins=True) == (source, reason)
                assert label(envelope=False, only_pins=True) == label(envelope=False)

    run_virtual(run())


def test_without_filling_up_popular_items_are_shown_where_nothing_of_the_list_is_or_there_is_none() -> None:
    async def run() -> None:
        terms = PlacementTerms(campaign_arn=ARN, tps=100.0, top_up=False)
        async with open_replica(placements={"a": terms}) as replica:
            listed = items_for("user", 25)
            await replica.ask()
            few = await replica.ask(exclude=listed[2:])
            assert (list(few.shown), few.source, few.degraded_reason) == (listed[:2], "cache", "short")
            none = await replica.ask(exclude=listed)
            assert (len(none.shown), none.source, none.degraded_reason) == (10, "popular", "error")
        async with open_replica(placements={"a": terms}) as replica:
            replica.personalize.failure = RecommenderError
            # A hundred are in the popular list, of which five are left.
            popular = await replica.ask("new", exclude=ITEMS[5:100])
            assert (list(popular.shown[:5]), len(popular.shown)) == (list(ITEMS[:5]), 10)
            assert (popular.source, popular.degraded_reason) == ("popular", "error")

    run_virtual(run())


class Viewed(NoEvents):
    """Each user has viewed an item."""

    def interactions(self, user_id: str) -> Sequence[tuple[str, str]]:
        return [({"ann": "item7", "bob": "item8"}[user_id], "View")]


def test_what_a_user_did_decides_the_order_of_this_users_answers_only() -> None:
    async def run() -> None:
        rule = 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'
        terms = PlacementTerms(campaign_arn=ARN, tps=100.0, boost=rule)
        async with open_replica(placements={"a": terms}) as replica:
            replica.arm.assembly._rules.own_events = Viewed()
            replica.personalize.lists = dict.fromkeys(("ann", "bob"), ITEMS[:25])
            for _ in range(2):
                assert (await replica.ask("ann")).shown[:2] == ("item7", "item0")
                assert (await replica.ask("bob")).shown[:2] == ("item8", "item0")

    run_virtual(run())


@pytest.mark.parametrize("failure", [None, RecommenderError])
def test_an_object_without_items_says_that_it_is_empty(failure: type[Exception] | None) -> None:
    async def run() -> None:
        async with open_replica() as replica:
            replica.catalog.change(remove=ITEMS)
            replica.personalize.failure = failure
            query = RecommendationQuery("ann", WANTED, answer_format="object", fields=("promoted",))
            whole = json.loads((await replica.answer(query)).body)
            assert (whole["items"], whole["count"], whole["topped_up"], whole["popular"]) == ([], 0, 0, False)
            assert (whole["source"], whole["degraded_reason"]) == ("empty", "error" if failure else "short")

    run_virtual(run())


def test_popular_items_are_said_to_be_popular_and_the_given_ones_are_not() -> None:
    async def run() -> None:
        for kind, source in (("recommendations", "popular"), ("ranking", "unranked")):
            placements = {"a": PlacementTerms.model_validate({"kind": kind, "campaign_arn": ARN, "tps": 1.0})}
            async with open_replica(placements=placements) as replica:
                replica.personalize.failure = RecommenderError
                query = replace(RecommendationQuery("ann", 2), kind=replica.placement.kind, item_ids=ITEMS[:2])
                answer = await replica.answer(query)
                assert (answer.source, answer.popular) == (source, source == "popular")

    run_virtual(run())


def test_links_that_record_a_click_are_refused_where_there_are_none() -> None:
    async def run() -> None:
        async with open_replica() as replica:
            query = RecommendationQuery("ann", 2)
            with pytest.raises(InvalidQuery, match="GO_URL"):
                await replica.answer(replace(query, attribution="go"))
            assert (await replica.answer(replace(query, attribution="url"))).source == "personalize"

    run_virtual(run())


def test_only_a_fresh_list_that_lacks_nothing_is_joined_from_ready_items() -> None:
    async def run() -> None:
        async with open_replica() as replica:
            await replica.ask()
            query, key = RecommendationQuery("user", WANTED), key_of("user")
            kept = replica.arm.lists.kept(key)
            joined = replica.arm.joined(query, key, Outcome(kept, "cache"), [])
            assert joined is not None
            assert joined.source == "cache"
            for outcome in (Outcome(kept, "cache", "budget"), Outcome(kept, "batch"), Outcome(None, "cache")):
                assert replica.arm.joined(query, key, outcome, []) is None
            assert replica.arm.joined(query, None, Outcome(kept, "cache"), []) is None
            # The list is gone meanwhile, or it is another one.
            assert replica.arm.joined(query, key_of("other"), Outcome(kept, "cache"), []) is None
            assert replica.arm.joined(query, key, Outcome(LIST, "cache"), []) is None

    run_virtual(run())
