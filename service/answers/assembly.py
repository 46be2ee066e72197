"""From a list to an answer: what is shown of it, what fills it up, and its JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from service.answers.arrangement import Arrangement
from service.answers.joined import JoinedAnswers
from service.answers.popular import PopularItems
from service.answers.ports import NO_RECORD, OwnEvents, SendRecord
from service.answers.ready import ReadyItems
from service.answers.rendering import render_items, render_object, with_attribution
from service.answers.rules import ItemRules
from service.answers.showing import Showing, ShowingTerms, Shown
from service.answers.terms import AssemblyTerms
from service.attribution import Click
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.errors import InvalidQuery
from service.lists import envelope as envelopes
from service.lists.envelope import Envelope
from service.lists.ports import Outcome
from service.models import Answer, RecommendationQuery, Source
from service.personalize.list_length import ListLength
from service.spans import span

SPARE_ITEMS: Final = 10
"""Items fetched from a remote catalogue beyond those asked for, in the place of some that cannot be shown."""


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
        self.joined = None
        """Plain answers of fresh lists; None where requests may differ in what they show of a list."""
        if ready is not None:
            self.joined = JoinedAnswers(
                clock=clock, rules=rules, ready=ready, popular=popular, length=length, terms=terms
            )
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
