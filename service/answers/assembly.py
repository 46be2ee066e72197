"""From a list to an answer: what is shown of it, what fills it up, and its JSON.

Longer than 300 lines: an answer that is joined and one that is made item by item must say the same of themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from service.answers.arrangement import Arrangement
from service.answers.chosen import Joined
from service.answers.popular import PopularItems
from service.answers.ports import NO_RECORD, OwnEvents, SendRecord
from service.answers.ready import ReadyItems
from service.answers.rendering import render_items, render_object, with_attribution
from service.answers.rules import ItemRules
from service.answers.showing import Showing, ShowingTerms, Shown
from service.attribution import Click
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.errors import InvalidQuery
from service.lists import envelope as envelopes
from service.lists.envelope import Envelope
from service.lists.numbers import GivenItems, NumberedList
from service.lists.ports import Outcome
from service.models import Answer, RecommendationQuery, RequestKind, Source
from service.personalize.list_length import ListLength
from service.spans import is_traced, span

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


class Assembly:
    """Makes answers from lists; the same for every way in which a list was found.

    Args:
        clock: Tells a list's age.
        rules: What may be shown.
        arrangement: The operator's order.
        popular: Fills up what is short.
        length: Learns which share of a list is dropped.
        terms: How.
        link_to: Makes links that record a click; None: there are none.
        ready: The items as answers show them; None where requests may differ in what they show of a list.
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
        link_to: Callable[[Click], str] | None = None,
        ready: ReadyItems | None = None,
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._arrangement = arrangement
        self._popular = popular
        self._length = length
        self._terms = terms
        self._link_to = link_to
        self._ready = ready
        # Where items of the same category come first, what fills up depends on the request.
        self._filling = self._first_popular if terms.top_up and terms.category_column is None else None
        self.showing = Showing(
            clock=clock,
            rules=rules,
            arrangement=arrangement,
            popular=popular,
            terms=ShowingTerms(terms.kind, terms.top_up, terms.category_column),
        )
        """Chooses the items."""

    def check(self, query: RecommendationQuery) -> None:
        """Refuse what only the catalogue can tell is wrong, before anything is spent on it.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or an exclusion lacks a value.
        """
        self._rules.check(query)
        if query.attribution == "go" and self._link_to is None:
            raise InvalidQuery("attribution", "go needs EVENT_KEYS, GO_KEYS and GO_URL; url needs nothing")

    @property
    def variant(self) -> str | None:
        """The arm's name; None if the placement has one arm only."""
        return self._terms.variant

    @property
    def own_events(self) -> OwnEvents:
        """What the user's own events keep out of the user's answers."""
        return self._rules.own_events

    def latest_item(self, user_id: str, event_type: str) -> str:
        """The item of the user's latest event of a type; empty if there is none, or the events are not here."""
        return next(iter(self.own_events.latest(user_id, event_type)), "")

    @property
    def joins(self) -> bool:
        """Whether a plain answer is a join of ready items; see `join`."""
        return self._ready is not None

    def join(
        self,
        query: RecommendationQuery,
        user_id: str,
        kept: NumberedList,
        given: GivenItems | None = None,
        *,
        looks_again: bool = False,
    ) -> Joined | None:
        """The answer that shows a fresh list, if nothing about the request or its user makes it another than for all.

        Args:
            query: What is asked for, but for the user: nothing besides `num_results`, and an item or items.
            user_id: Whose answer it is.
            kept: The list.
            given: The items to rank; None in any other query.
            looks_again: Whether to choose once more what has been chosen before.
        """
        ready = self._ready
        if ready is None:
            return None
        bought, item_id = self.own_events.items(user_id), query.item_id
        looks_again = looks_again or bool(bought)
        if is_traced():
            with span("render"):
                joined = self._of_ready(ready, query.num_results, kept, given, looks_again=looks_again)
        else:
            joined = self._of_ready(ready, query.num_results, kept, given, looks_again=looks_again)
        if joined is None:
            return None
        _, shown, skipped, _, examined, listed, _ = joined
        # What was chosen before has been looked through for the item then: the list is the item's own.
        if skipped is not None and (bought or item_id):
            seen = ready.ids_of([*shown, *skipped])
            if item_id in seen or not bought.isdisjoint(seen) or (bought and self._rules.knows_variants):
                return None
        if given is None:
            self._length.observe(asked=query.num_results, examined=examined, kept=listed)
        return joined

    def joined_answer(
        self,
        query: RecommendationQuery,
        source: Literal["personalize", "cache"],
        envelope: Envelope,
        kept: NumberedList,
        timings: Iterable[tuple[str, float]],
    ) -> tuple[Answer, NumberedList | None] | None:
        """The same with all that is said of an answer, and the list with what was chosen, if it is to be kept instead.

        None where it is to be made item by item.

        Args:
            query: A plain one for a list of its user or its item.
            source: How the list was found.
            envelope: The list.
            kept: The list again, as numbers.
            timings: Name and milliseconds of each wait.
        """
        promoted = envelopes.promoted_ids(envelope)
        # Promoted are those too that were looked at, and are not shown.
        joined = self.join(query, query.user_id, kept, looks_again=bool(promoted))
        if joined is None or self._ready is None:
            return None
        body, shown, skipped, dropped, _, _, with_choice = joined
        terms, made_at = self._terms, envelopes.created_at(envelope)
        answer = Answer(
            body=body,
            source=source,
            degraded_reason=None,
            recommendation_id=envelopes.recommendation_id(envelope),
            age_seconds=max(0, int(self._clock.time() - made_at)),
            timings=tuple(timings),
            dropped=dropped,
            placement=terms.placement,
            asked_placement=terms.placement,
            variant=terms.variant,
            shown=tuple(self._ready.ids_of(shown)),
            promoted=tuple(promoted.intersection(self._ready.ids_of([*shown, *(skipped or ())]))) if promoted else (),
            made_at=made_at,
            popular=envelopes.is_popular(envelope),
        )
        return answer, with_choice

    def _of_ready(
        self, ready: ReadyItems, wanted: int, kept: NumberedList, given: GivenItems | None, *, looks_again: bool
    ) -> Joined | None:
        if given is None:
            return ready.join(kept, wanted, self._filling, looks_again=looks_again)
        return ready.rank(kept, wanted, given, looks_again=looks_again)

    def _first_popular(self) -> tuple[str, ...]:
        return self._popular.first(self._rules.catalog)

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
        record: SendRecord = NO_RECORD,
    ) -> Answer:
        """The answer that shows a list, by the rules of this moment.

        Args:
            query: What is asked for.
            outcome: The list, and how it was found.
            timings: Name and milliseconds of each wait.
            placement: Name of the fallback that the list is from; empty for our own.
            record: What the user was shown in sends. A pin for as many items takes the place of the list.
        """
        with span("render"):
            return self._answer(query, outcome, timings, placement, record)

    def _answer(
        self,
        query: RecommendationQuery,
        outcome: Outcome,
        timings: Iterable[tuple[str, float]],
        placement: str,
        record: SendRecord,
    ) -> Answer:
        terms = self._terms
        found = self.showing.of(query, outcome, record)
        catalog, rows = found.catalog, found.selection.rows
        self._learn(query, outcome, found)
        source, reason = self.showing.label(query, outcome, found)
        listed = outcome.envelope
        recommendation_id, age = "", None
        popular = source == "popular"
        if listed is not None and source not in ("popular", "unranked", "empty"):
            recommendation_id = envelopes.recommendation_id(listed)
            age = max(0, int(self._clock.time() - envelopes.created_at(listed)))
            popular = envelopes.is_popular(listed)
        promoted = envelopes.promoted_ids(listed) if listed is not None and "promoted" in query.fields else ()
        if query.attribution:
            rows = with_attribution(
                rows,
                self._clicks(query, found.selection.shown, recommendation_id, placement),
                self._link_to if query.attribution == "go" else None,
            )
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
                popular=popular,
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
            asked_placement=terms.placement,
            variant=terms.variant,
            shown=tuple(found.selection.shown),
            promoted=() if listed is None else tuple(envelopes.promoted_ids(listed).intersection(found.selection.seen)),
            made_at=self._clock.time() if listed is None else envelopes.created_at(listed),
            popular=popular,
        )

    def _learn(self, query: RecommendationQuery, outcome: Outcome, found: Shown) -> None:
        """Note which share of a list is dropped, so that the next one is long enough."""
        if outcome.envelope is None or outcome.source == "popular" or self._terms.kind == "ranking":
            return
        if not found.pinned_by_send:
            kept = found.listed + len(found.pinned)
            asked = query.num_results * (1 + query.rotate)
            self._length.observe(asked=asked, examined=found.selection.examined, kept=kept)

    def _clicks(
        self, query: RecommendationQuery, shown: Sequence[str], recommendation_id: str, placement: str
    ) -> list[Click]:
        terms = self._terms
        source = f"{terms.placement}:{terms.variant}" if terms.variant and not placement else ""
        return [
            Click(item_id, query.user_id, recommendation_id, place, source) for place, item_id in enumerate(shown, 1)
        ]

    def _because(self, query: RecommendationQuery, source: Source, catalog: ItemCatalog) -> dict[str, str] | None:
        """The item that the user's events named; None where the list is not because of it, or it has no name."""
        if not query.because_of_item or source in ("popular", "empty"):
            return None
        (row,) = catalog.rows([query.item_id])
        return None if row is None else {"id": query.item_id, "name": row.values(catalog.columns)["name"]}

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
        # What was shown before moves to the end, so that what follows comes up.
        wanted = query.num_results * (1 + query.rotate) + len(query.exclude)
        listed = envelopes.item_ids(envelope) if envelope is not None else ()
        count = 0
        for item_id in islice(listed, wanted + SPARE_ITEMS):
            count += 1
            yield item_id
        if count < wanted:
            if self._terms.category_column is not None and query.item_id:
                yield query.item_id
            yield from islice(self._popular.ids(catalog), wanted + SPARE_ITEMS)
