"""Plain answers of fresh lists: joins of ready items, both for hits and for misses whose list has come."""

from collections.abc import Iterable
from typing import Literal

from service.answers.chosen import Joined
from service.answers.popular import PopularItems
from service.answers.ready import ReadyItems
from service.answers.rules import ItemRules
from service.answers.terms import AssemblyTerms
from service.clock import Clock
from service.lists import envelope as envelopes
from service.lists.envelope import Envelope
from service.lists.numbers import GivenItems, NumberedList
from service.models import Answer, RecommendationQuery
from service.personalize.list_length import ListLength
from service.spans import is_traced, span


class JoinedAnswers:
    """Makes the answers of one arm that nothing about the request or its user makes others than for all.

    Args:
        clock: Tells a list's age.
        rules: What may be shown.
        ready: The items as answers show them.
        popular: Fills up what is short.
        length: Learns which share of a list is dropped.
        terms: How.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rules: ItemRules,
        ready: ReadyItems,
        popular: PopularItems,
        length: ListLength,
        terms: AssemblyTerms,
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._ready = ready
        self._popular = popular
        self._length = length
        self._terms = terms
        # Where items of the same category come first, what fills up depends on the request.
        self._filling = self._first_popular if terms.top_up and terms.category_column is None else None

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
        bought, item_id = self._rules.own_events.items(user_id), query.item_id
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

    def answer(
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
        if joined is None:
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
