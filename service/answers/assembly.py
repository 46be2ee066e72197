"""From a list to an answer: what is shown of it, what fills it up, and its JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from service.answers.arrangement import Arrangement
from service.answers.popular import PopularItems
from service.answers.ports import OwnEvents
from service.answers.rendering import render_items, render_object
from service.answers.rules import ItemRules
from service.answers.selection import Selection, select
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.errors import DegradedReason
from service.lists import envelope as envelopes
from service.lists.envelope import Envelope
from service.lists.ports import Outcome
from service.models import Answer, RecommendationQuery, RequestKind, Source
from service.personalize.list_length import ListLength
from service.spans import span

SPARE_ITEMS: Final = 10
"""Items fetched from a remote catalogue beyond those asked for, in the place of some that cannot be shown."""


@dataclass(frozen=True, slots=True)
class AssemblyTerms:
    """How the answers of one arm of a placement are made."""

    placement: str
    variant: str | None = None
    kind: RequestKind = "recommendations"
    top_up: bool = True
    """Whether popular items fill a list that is short."""
    category_column: str | None = None
    """Popular items with the item's value in this column go first."""


@dataclass(slots=True)
class _Found:
    """What was selected for an answer."""

    selection: Selection
    listed: int = 0
    """Rows that are from the list."""
    only_pins: bool = False
    """Whether pins fill the answer, so that the list had no place to show."""
    topped_up: int = 0
    """Rows that are popular items."""


class Assembly:
    """Makes answers from lists; the same for every way in which a list was found.

    Args:
        clock: Tells a list's age.
        rules: What may be shown.
        arrangement: The operator's order.
        popular: Fills up what is short.
        length: Learns which share of a list is dropped.
        terms: How.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rules: ItemRules,
        arrangement: Arrangement,
        popular: PopularItems,
        length: ListLength,
        terms: AssemblyTerms,
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._arrangement = arrangement
        self._popular = popular
        self._length = length
        self._terms = terms

    @property
    def version(self) -> int:
        """Changes whenever an answer made before could now be different."""
        return self._rules.version

    def check(self, query: RecommendationQuery) -> None:
        """Refuse what only the catalogue can tell is wrong, before anything is spent on it.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or an exclusion lacks a value.
        """
        self._rules.check(query)

    @property
    def own_events(self) -> OwnEvents:
        """What the user's own events keep out of the user's answers."""
        return self._rules.own_events

    def latest_item(self, user_id: str, event_type: str) -> str:
        """The item of the user's latest event of a type; empty if there is none, or the events are not here."""
        return next(iter(self.own_events.latest(user_id, event_type)), "")

    def valid_until(self) -> float:
        """Unix seconds until which an answer of now stays as it is, if nothing else changes."""
        return self._arrangement.valid_until(self._clock.time())

    def is_here(self, query: RecommendationQuery, envelope: Envelope) -> bool:
        """Whether every item that the answer is likely to show can be looked up without a wait."""
        catalog = self._rules.catalog
        return not catalog.missing(self._likely_shown(query, envelope, catalog))

    async def fetch(self, query: RecommendationQuery, envelope: Envelope | None, seconds: float) -> None:
        """Bring here what the answer is likely to show, as far as the time allows."""
        catalog = self._rules.catalog
        await catalog.prefetch(self._likely_shown(query, envelope, catalog), seconds)

    def answer(
        self,
        query: RecommendationQuery,
        outcome: Outcome,
        timings: Iterable[tuple[str, float]] = (),
        placement: str = "",
    ) -> Answer:
        """The answer that shows a list, by the rules of this moment.

        Args:
            query: What is asked for.
            outcome: The list, and how it was found.
            timings: Name and milliseconds of each wait.
            placement: Name of the fallback that the list is from; empty for our own.
        """
        with span("render"):
            return self._answer(query, outcome, timings, placement)

    def _answer(
        self, query: RecommendationQuery, outcome: Outcome, timings: Iterable[tuple[str, float]], placement: str
    ) -> Answer:
        terms = self._terms
        found, catalog = self._select(query, outcome)
        rows = found.selection.rows
        source, reason = self._label(query, outcome, found)
        listed = outcome.envelope
        recommendation_id, age = "", None
        if listed is not None and source not in ("popular", "unranked", "empty"):
            recommendation_id = envelopes.recommendation_id(listed)
            age = max(0, int(self._clock.time() - envelopes.created_at(listed)))
        promoted = envelopes.promoted_ids(listed) if listed is not None and "promoted" in query.fields else ()
        body = render_items(rows, query.fields, catalog, item_ids=found.selection.shown, promoted=promoted)
        if query.answer_format == "object":
            body = render_object(
                body,
                count=len(rows),
                source=source,
                degraded_reason=reason,
                recommendation_id=recommendation_id or None,
                placement=placement or terms.placement,
                variant=terms.variant,
                because=self._because(query, source, catalog) if not placement else None,
                topped_up=found.topped_up,
            )
        return Answer(
            body=body,
            source=source,
            degraded_reason=reason,
            recommendation_id=recommendation_id,
            age_seconds=age,
            timings=tuple(timings),
            dropped=tuple(found.selection.dropped.items()),
            placement=placement or terms.placement,
            variant=terms.variant,
        )

    def _because(self, query: RecommendationQuery, source: Source, catalog: ItemCatalog) -> dict[str, str] | None:
        """The item that the user's events named; None where the list is not because of it, or it has no name."""
        if not query.because_of_item or source in ("popular", "empty"):
            return None
        (row,) = catalog.rows([query.item_id])
        return None if row is None else {"id": query.item_id, "name": row.values(catalog.columns)["name"]}

    def _select(self, query: RecommendationQuery, outcome: Outcome) -> tuple[_Found, ItemCatalog]:
        rules = self._rules.bind(query)
        catalog, wanted = rules.catalog, query.num_results
        selection = Selection()
        is_ranking = self._terms.kind == "ranking"
        pins = self._arrangement.active_pins(rules, wanted, self._clock.time())
        if is_ranking:
            # An answer to a ranking holds nothing but the given items.
            pins = [pin for pin in pins if pin[1] in query.item_ids]
        has_room = self._arrangement.caps(catalog)
        pins = [pin for pin in pins if has_room is None or has_room(pin[1], pin[2])]
        selection.seen.update(item_id for _, item_id, _ in pins)
        wanted -= len(pins)
        found = _Found(selection, only_pins=not wanted)
        if is_ranking:
            listed = self._given_in(query, outcome.envelope)
            # With those that Personalize left out at the end, before the operator's order is applied to them all.
            given = dict.fromkeys((*listed, *query.item_ids))
            select(selection, self._ordered(query, given, catalog), rules, wanted, has_room)
            found.listed = sum(one in listed for one in selection.shown)
        elif outcome.envelope is not None:
            ids = self._ordered(query, envelopes.item_ids(outcome.envelope), catalog)
            select(selection, ids, rules, wanted, has_room)
            found.listed = len(selection.rows)
            if outcome.source != "popular":
                self._length.observe(
                    asked=query.num_results, examined=selection.examined, kept=found.listed + len(pins)
                )
        fills_up = self._terms.top_up or not found.listed or outcome.source == "popular"
        if not is_ranking and len(selection.rows) < wanted and fills_up:
            select(selection, self._popular_ids(query, catalog), rules, wanted, has_room)
            found.topped_up = len(selection.rows) - found.listed
        for slot, item_id, row in pins:
            selection.rows.insert(slot - 1, row)
            selection.shown.insert(slot - 1, item_id)
        return found, catalog

    def _ordered(self, query: RecommendationQuery, ids: Iterable[str], catalog: ItemCatalog) -> Iterable[str]:
        arrangement = self._arrangement
        done = self._rules.interactions(query) if arrangement.uses_interactions else ()
        return arrangement.ordered(ids, catalog, done)

    def _label(
        self, query: RecommendationQuery, outcome: Outcome, found: _Found
    ) -> tuple[Source, DegradedReason | None]:
        """Where the answer is from, and why it is less than wanted if it is."""
        reason, rows = outcome.degraded_reason, len(found.selection.rows)
        shows_list = found.listed or (found.only_pins and outcome.envelope is not None)
        if outcome.source == "none" or not shows_list:
            if not rows:
                return "empty", reason or ("error" if outcome.envelope is None else "short")
            holdout = outcome.source == "popular" and reason is None
            return "unranked" if self._terms.kind == "ranking" else "popular", reason if holdout else reason or "error"
        if self._terms.kind != "ranking" and rows < query.num_results:
            reason = reason or "short"
        return outcome.source, reason

    def _given_in(self, query: RecommendationQuery, envelope: Envelope | None) -> dict[str, None]:
        """Those of the given items that a list ranks, in its order."""
        if envelope is None:
            return {}
        given = set(query.item_ids)
        return dict.fromkeys(item_id for item_id in envelopes.item_ids(envelope) if item_id in given)

    def _popular_ids(self, query: RecommendationQuery, catalog: ItemCatalog) -> Iterator[str]:
        column = self._terms.category_column
        if column is None or not query.item_id:
            return self._popular.ids(catalog)
        return self._popular.ids_like(query.item_id, column, catalog)

    def _likely_shown(
        self, query: RecommendationQuery, envelope: Envelope | None, catalog: ItemCatalog
    ) -> Iterator[str]:
        """What an answer from this list shows if about as many are dropped as the caller excludes.

        Popular items are among it where the list is too short, or there is none. Lazy: a catalogue that holds all
        its items here asks for none of them.
        """
        if self._terms.kind == "ranking":
            yield from query.item_ids
            return
        if query.because_of_item:
            yield query.item_id
        yield from self._arrangement.pinned(self._clock.time())
        wanted = query.num_results + len(query.exclude)
        listed = envelopes.item_ids(envelope) if envelope is not None else ()
        count = 0
        for item_id in islice(listed, wanted + SPARE_ITEMS):
            count += 1
            yield item_id
        if count < wanted:
            if self._terms.category_column is not None and query.item_id:
                yield query.item_id
            yield from islice(self._popular.ids(catalog), wanted + SPARE_ITEMS)
