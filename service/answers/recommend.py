"""The use case: one user's recommendations, always answered, always before the deadline."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

from service.answers.exclusions import RequestExclusion
from service.answers.popular import PopularItems
from service.answers.rendering import check_fields, render_items, render_object
from service.answers.selection import Rules, Selection, select
from service.catalog.current import CurrentCatalog
from service.catalog.ports import BlockList, ItemCatalog
from service.clock import Clock
from service.constants import ANSWER_MARGIN_SECONDS
from service.errors import DeadlineExceeded, DegradedReason
from service.lists import envelope as envelopes
from service.lists.keys import UserKeys
from service.lists.ladder import Ladder
from service.lists.ports import LocalLists, Outcome, Pins
from service.models import Answer, ListRequest, RecommendationQuery, Source
from service.personalize.flights import Flights
from service.personalize.list_length import ListLength
from service.personalize.ports import Recorder

SPARE_ITEMS = 10
"""Items fetched from a remote catalogue beyond those asked for, in the place of some that cannot be shown."""


class Recommendations:
    """Answers queries of one replica."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: UserKeys,
        catalog: CurrentCatalog,
        blocked: BlockList,
        local: LocalLists,
        pins: Pins,
        flights: Flights,
        ladder: Ladder,
        popular: PopularItems,
        length: ListLength,
        recorder: Recorder,
        values_change_lists: bool,
        exclusion: RequestExclusion | None = None,
    ) -> None:
        """Put the collaborators to work.

        `values_change_lists` tells whether `filter_values` go to Personalize, so that each set of them has
        lists of its own.
        """
        self._clock = clock
        self._keys = keys
        self._catalog = catalog
        self._blocked = blocked
        self._local = local
        self._pins = pins
        self._flights = flights
        self._ladder = ladder
        self._popular = popular
        self._length = length
        self._recorder = recorder
        self._values_change_lists = values_change_lists
        self._exclusion = exclusion

    @property
    def rules_version(self) -> int:
        """Changes whenever an answer rendered before could now be different."""
        return self._catalog.snapshot.version + self._blocked.version

    def key_of(self, query: RecommendationQuery) -> bytes:
        """The key of the list that answers this query."""
        return self._keys.of(query.user_id, query.filter_values if self._values_change_lists else ())

    def holds(self, key: bytes, envelope: bytes) -> bool:
        """Whether this very list is still the one kept under the key."""
        return self._local.get(key) is envelope

    def fresh_list(self, key: bytes) -> bytes | None:
        """The list in memory if it is fresh, and the user was not answered otherwise moments ago."""
        if self._pins.get(key) is not None:
            return None
        envelope = self._local.get(key)
        return envelope if self._flights.fresh(envelope) else None

    @property
    def fresh_seconds(self) -> float:
        """Age at which a list stops being fresh."""
        return self._flights.fresh_seconds

    def fresh_until(self, envelope: bytes) -> float:
        """Unix seconds at which the list stops being fresh."""
        return envelopes.created_at(envelope) + self._flights.fresh_seconds

    def from_list(self, query: RecommendationQuery, envelope: bytes) -> Answer | None:
        """The answer to a query from a fresh list; no wait, no transaction. None if items must be fetched first.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or the exclusion lacks a value.
        """
        self._check(query)
        catalog = self._catalog.snapshot
        if catalog.missing(self._likely_shown(query, envelope, catalog)):
            return None
        return self._render(query, Outcome(envelope, "cache"))

    async def answer(self, query: RecommendationQuery, deadline: float) -> Answer:
        """The best answer to be had before the deadline, a point on the monotonic clock.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or the exclusion lacks a value.
        """
        self._check(query)
        outcome, timings = await self._outcome(query, deadline)
        catalog = self._catalog.snapshot
        shown = self._likely_shown(query, outcome.envelope, catalog)
        await catalog.prefetch(shown, deadline - ANSWER_MARGIN_SECONDS - self._clock.monotonic())
        return self._render(query, outcome, timings)

    async def _outcome(
        self, query: RecommendationQuery, deadline: float
    ) -> tuple[Outcome, Iterable[tuple[str, float]]]:
        if not query.user_id:
            return self._ladder.step_down(None, "no_user"), ()
        key = self.key_of(query)
        pinned = self._pins.get(key)
        if pinned is not None:
            return pinned, ()
        known = self._flights.usable(self._local.get(key))
        if known is not None and self._flights.fresh(known):
            return Outcome(known, "cache"), ()
        request = ListRequest(
            user_id=query.user_id,
            num_results=self._length.to_fetch(query.num_results),
            filter_values=dict(query.filter_values) if self._values_change_lists else {},
        )
        timings: Iterable[tuple[str, float]] = ()
        try:
            outcome, timings = await self._flights.outcome(key, request, known, deadline - ANSWER_MARGIN_SECONDS)
        except DeadlineExceeded:
            outcome = await self._flights.step_down(key, known, "timeout", deadline - ANSWER_MARGIN_SECONDS)
            self._pins.put(key, outcome)
        # A call of the same message with less time left may have been answered while this one waited.
        return self._pins.get(key) or outcome, timings

    def _likely_shown(self, query: RecommendationQuery, envelope: bytes | None, catalog: ItemCatalog) -> Iterator[str]:
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

    def _check(self, query: RecommendationQuery) -> None:
        """Refuse what only the catalogue can tell is wrong, before anything is spent on it."""
        catalog = self._catalog.snapshot
        check_fields(query, catalog)
        if self._exclusion:
            self._exclusion.bind(catalog, query.filter_values)

    def _render(
        self, query: RecommendationQuery, outcome: Outcome, timings: Iterable[tuple[str, float]] = ()
    ) -> Answer:
        catalog = self._catalog.snapshot
        selection = Selection()
        rules = Rules(
            catalog=catalog,
            exclude=query.exclude,
            blocked=self._blocked,
            shows=self._exclusion.bind(catalog, query.filter_values) if self._exclusion else None,
        )
        source = cast("Source", outcome.source)
        personal = 0
        if outcome.envelope is not None:
            select(selection, envelopes.item_ids(outcome.envelope), rules, query.num_results)
            personal = len(selection.rows)
            if source != "popular":
                self._length.observe(asked=query.num_results, examined=selection.examined, kept=personal)
        dropped = tuple(selection.dropped.items())
        for reason, count in dropped:
            self._recorder.dropped(reason, count)
        if personal < query.num_results:
            select(selection, self._popular.ids(catalog), rules, query.num_results)
        why = cast("DegradedReason | None", outcome.degraded_reason or None)
        if not personal:
            source = "popular" if selection.rows else "empty"
            why = why or "error"
        from_personalize = personal > 0 and source != "popular" and outcome.envelope is not None
        body = render_items(selection.rows, query.fields, catalog)
        recommendation_id = ""
        age = None
        if from_personalize and outcome.envelope is not None:
            recommendation_id = envelopes.recommendation_id(outcome.envelope)
            age = max(0, int(self._clock.time() - envelopes.created_at(outcome.envelope)))
        if query.answer_format == "object":
            body = render_object(body, len(selection.rows), source, why, recommendation_id)
        return Answer(body, source, why, recommendation_id, age, tuple(timings), dropped)
