"""Where an answer says that it is from, and what fills it up."""

from collections.abc import Sequence

import pytest

from service.answers.ports import NoEvents
from service.answers.selection import Selection
from service.answers.showing import Shown
from service.errors import DegradedReason, RecommenderError
from service.lists.envelope import seal
from service.lists.ports import Outcome, OutcomeSource
from service.models import ItemList, RecommendationQuery, RequestKind
from service.settings.placements import PlacementTerms
from tests.support.fakes import FakeCatalog
from tests.support.replica import ARN, ITEMS, items_for, open_replica
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
