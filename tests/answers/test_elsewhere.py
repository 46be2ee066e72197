"""A catalogue whose items are elsewhere: what an answer is likely to show is brought here first, and nothing else."""

import asyncio
import datetime as dt
from collections.abc import Iterable
from typing import Any

import pytest

from service.answers.assembly import SPARE_ITEMS
from service.answers.explain import explain
from service.answers.ports import NoEvents
from service.clock import margin_seconds
from service.lists.envelope import seal
from service.models import ItemList, RecommendationQuery, RequestKind
from service.settings.placements import PinTerms, PlacementTerms
from tests.support.fakes import FakeCatalog
from tests.support.replica import ARN, DEADLINE_SECONDS, ITEMS, Replica, open_replica
from tests.support.virtual_time import run_virtual

OVER = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
WANTED = 5
LISTED = ITEMS[100:160]
CURATED = ("curated1", "curated2")
ALL = (*ITEMS, *CURATED)


class Elsewhere(FakeCatalog):
    """Nothing is here."""

    def __init__(self) -> None:
        super().__init__(ALL)
        self.fetched: list[str] = []
        self.seconds: list[float] = []

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        self.fetched = [*item_ids]
        return self.fetched

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        self.fetched = [*item_ids]
        self.seconds.append(timeout_seconds)


class Loaded(NoEvents):
    """Events that are elsewhere too."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, object]] = []

    async def load(self, user_id: str, within_seconds: float) -> None:
        self.loaded.append((user_id, within_seconds))


def placements(kind: RequestKind, **more: Any) -> dict[str, PlacementTerms]:  # noqa: ANN401  # keywords of the value
    return {"a": PlacementTerms(kind=kind, campaign_arn=ARN, tps=100.0, **more)}


async def fetched(replica: Replica, query: RecommendationQuery, listed: tuple[str, ...] | None) -> list[str]:
    """What is brought here for an answer from this list."""
    catalog = replica.catalog
    assert isinstance(catalog, Elsewhere)
    envelope = None if listed is None else seal(ItemList(listed, "RID", replica.clock.time()))
    await replica.arm.assembly.fetch(query, envelope, 1.0)
    found = catalog.fetched
    if envelope is not None:
        assert not replica.arm.assembly.is_here(query, envelope)
        assert catalog.fetched == found
    return found


@pytest.mark.parametrize(
    ("more", "listed", "of_list", "is_filled"),
    [
        ({}, LISTED, WANTED + SPARE_ITEMS, False),
        # As many may give way as are excluded, or were shown before.
        ({"exclude": frozenset({"x", "y"})}, LISTED, WANTED + 2 + SPARE_ITEMS, False),
        ({"rotate": 2}, LISTED, 3 * WANTED + SPARE_ITEMS, False),
        ({}, LISTED[:WANTED], WANTED, False),
        ({}, LISTED[: WANTED - 1], WANTED - 1, True),
        ({"rotate": 1}, LISTED[: 2 * WANTED], 2 * WANTED, False),
        ({"rotate": 1}, LISTED[: 2 * WANTED - 1], 2 * WANTED - 1, True),
        ({}, (), 0, True),
        ({}, None, 0, True),
    ],
)
def test_of_a_list_as_much_is_brought_as_is_likely_to_be_shown_and_of_popular_items_where_it_is_too_short(
    more: dict[str, Any], listed: tuple[str, ...] | None, of_list: int, *, is_filled: bool
) -> None:
    async def run() -> None:
        async with open_replica(catalog=Elsewhere(), curated=CURATED) as replica:
            query = RecommendationQuery("ann", WANTED, **more)
            asked = WANTED * (1 + query.rotate) + len(query.exclude)
            popular = [*CURATED, *ITEMS][: asked + SPARE_ITEMS] if is_filled else []
            assert await fetched(replica, query, listed) == [*(listed or ())[:of_list], *popular]

    run_virtual(run())


def test_pins_and_the_item_that_a_list_is_because_of_are_brought_too() -> None:
    async def run() -> None:
        pins = [PinTerms(item="item3", slot=2), PinTerms(item="item4", slot=1, until=OVER)]
        similar = placements("similar-items", pin=pins, category_column="color")
        async with open_replica(catalog=Elsewhere(), placements=similar, curated=CURATED) as replica:
            query = RecommendationQuery("ann", 1, kind="similar-items", item_id="item9")
            assert await fetched(replica, query, ("item1", "item2")) == ["item3", "item1", "item2"]
            assert (await fetched(replica, query, ()))[:4] == ["item3", "item9", *CURATED]
            because = RecommendationQuery("ann", 1, kind="similar-items", item_id="item9", because_of_item=True)
            assert await fetched(replica, because, ("item1",)) == ["item9", "item3", "item1"]

    run_virtual(run())


def test_of_a_ranking_the_given_items_are_brought() -> None:
    async def run() -> None:
        async with open_replica(catalog=Elsewhere(), placements=placements("ranking")) as replica:
            query = RecommendationQuery("ann", 2, kind="ranking", item_ids=("item7", "item5"))
            assert await fetched(replica, query, LISTED) == ["item7", "item5"]

    run_virtual(run())


@pytest.mark.parametrize("within", [DEADLINE_SECONDS, 0.4])
def test_it_takes_no_longer_than_the_answer_has_time_left(within: float) -> None:
    async def run() -> None:
        catalog = Elsewhere()
        async with open_replica(catalog=catalog) as replica:
            events = replica.arm.assembly._rules.own_events = Loaded()
            replica.personalize.latency_seconds = 0.3
            await asyncio.sleep(10)
            await replica.ask(within=within)
            [left] = catalog.seconds
            margin = margin_seconds(within)
            assert left == pytest.approx(within - margin - 0.3)
            assert events.loaded == [("user", pytest.approx(within - margin))]
            query = RecommendationQuery("ann", WANTED)
            await explain(replica.placement, query, clock=replica.clock, seconds=0.7)
            assert catalog.seconds[1:] == [pytest.approx(0.7)]
            assert events.loaded[1:] == [("ann", pytest.approx(0.7))]
            # Nobody's events are not looked for.
            await replica.ask("")
            assert len(events.loaded) == 2

    run_virtual(run())


@pytest.mark.parametrize(("column", "item_id"), [("color", ""), (None, "item9")])
def test_the_item_itself_is_brought_only_where_those_of_its_category_come_first(
    column: str | None, item_id: str
) -> None:
    async def run() -> None:
        similar = placements("similar-items", category_column=column)
        async with open_replica(catalog=Elsewhere(), placements=similar, curated=CURATED) as replica:
            query = RecommendationQuery("ann", 1, kind="similar-items", item_id=item_id)
            assert (await fetched(replica, query, ()))[:2] == [*CURATED]

    run_virtual(run())
