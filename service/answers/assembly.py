"""From a list to an answer: what is shown of it, what fills it up, and its JSON."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from service.answers.popular import PopularItems
from service.answers.rendering import render_items, render_object
from service.answers.rules import ItemRules
from service.answers.selection import Selection, select
from service.catalog.ports import ItemCatalog
from service.clock import Clock
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
        popular: Fills up what is short.
        length: Learns which share of a list is dropped.
    """

    def __init__(self, *, clock: Clock, rules: ItemRules, popular: PopularItems, length: ListLength) -> None:
        self._clock = clock
        self._rules = rules
        self._popular = popular
        self._length = length

    def is_here(self, query: RecommendationQuery, envelope: Envelope) -> bool:
        """Whether every item that the answer is likely to show can be looked up without a wait."""
        catalog = self._rules.catalog
        return not catalog.missing(self._likely_shown(query, envelope, catalog))

    async def fetch(self, query: RecommendationQuery, envelope: Envelope | None, seconds: float) -> None:
        """Bring here what the answer is likely to show, as far as the time allows."""
        catalog = self._rules.catalog
        await catalog.prefetch(self._likely_shown(query, envelope, catalog), seconds)

    def answer(self, query: RecommendationQuery, outcome: Outcome, timings: Iterable[tuple[str, float]] = ()) -> Answer:
        """The answer that shows a list, by the rules of this moment."""
        with span("render"):
            return self._answer(query, outcome, timings)

    def _answer(self, query: RecommendationQuery, outcome: Outcome, timings: Iterable[tuple[str, float]]) -> Answer:
        rules = self._rules.bind(query)
        selection = Selection()
        listed, degraded_reason = outcome.envelope, outcome.degraded_reason
        personal = 0
        if listed is not None:
            select(selection, envelopes.item_ids(listed), rules, query.num_results)
            personal = len(selection.rows)
            if outcome.source != "popular":
                self._length.observe(asked=query.num_results, examined=selection.examined, kept=personal)
        dropped = tuple(selection.dropped.items())
        if personal < query.num_results:
            select(selection, self._popular.ids(rules.catalog), rules, query.num_results)
        source: Source
        if not personal or outcome.source == "none":
            source, degraded_reason = "popular" if selection.rows else "empty", degraded_reason or "error"
        else:
            source = outcome.source
        recommendation_id, age = "", None
        if listed is not None and source not in ("popular", "empty"):
            recommendation_id = envelopes.recommendation_id(listed)
            age = max(0, int(self._clock.time() - envelopes.created_at(listed)))
        body = render_items(selection.rows, query.fields, rules.catalog)
        if query.answer_format == "object":
            body = render_object(body, len(selection.rows), source, degraded_reason, recommendation_id)
        return Answer(body, source, degraded_reason, recommendation_id, age, tuple(timings), dropped)

    def _likely_shown(
        self, query: RecommendationQuery, envelope: Envelope | None, catalog: ItemCatalog
    ) -> Iterator[str]:
        """What an answer from this list shows if about as many are dropped as the caller excludes.

        Popular items are among it where the list is too short, or there is none. Lazy: a catalogue that holds all
        its items here asks for none of them.
        """
        wanted = query.num_results + len(query.exclude)
        listed = envelopes.item_ids(envelope) if envelope is not None else ()
        count = 0
        for item_id in islice(listed, wanted + SPARE_ITEMS):
            count += 1
            yield item_id
        if count < wanted:
            yield from islice(self._popular.ids(catalog), wanted + SPARE_ITEMS)
