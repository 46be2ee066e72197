"""Which items an answer shows: of the list, and of the popular items that fill it up, in which order.

A pure choice by the rules of a moment. Answers are made of it, and explanations too.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from service.answers.arrangement import Arrangement
from service.answers.popular import PopularItems
from service.answers.ports import PinnedAnswer, SendRecord
from service.answers.rules import ItemRules
from service.answers.selection import Selection, select
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.errors import DegradedReason
from service.lists import envelope as envelopes
from service.lists.envelope import Envelope
from service.lists.ports import Outcome
from service.models import RecommendationQuery, RequestKind, Source


@dataclass(frozen=True, slots=True)
class ShowingTerms:
    """How one arm of a placement chooses."""

    kind: RequestKind
    top_up: bool
    """Whether popular items fill a list that is short."""
    category_column: str | None
    """Popular items with the item's value in this column go first."""


@dataclass(slots=True)
class Shown:
    """What was chosen for an answer."""

    selection: Selection
    catalog: ItemCatalog
    """Where the rows are from."""
    listed: int = 0
    """Rows that are from the list."""
    only_pins: bool = False
    """Whether pins fill the answer, so that the list had no place to show."""
    topped_up: int = 0
    """Rows that are popular items."""
    pinned: Mapping[str, int] = field(default_factory=dict)
    """Items that the operator has pinned, and their places."""
    pinned_by_send: bool = False
    """Whether an earlier answer is repeated."""


class Showing:
    """Chooses the items of answers.

    Args:
        clock: Tells which pins are over.
        rules: What may be shown.
        arrangement: The operator's order.
        popular: Fills up what is short.
        terms: How.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rules: ItemRules,
        arrangement: Arrangement,
        popular: PopularItems,
        terms: ShowingTerms,
    ) -> None:
        self._clock = clock
        self.rules = rules
        self.arrangement = arrangement
        self._popular = popular
        self._terms = terms

    def of(self, query: RecommendationQuery, outcome: Outcome, record: SendRecord) -> Shown:
        """What an answer shows of a list; where it was pinned for as many items, what is left of that."""
        pinned = record.pinned
        if pinned is not None and pinned.asked >= query.num_results:
            return self._repeated(query, pinned)
        return self._chosen(query, outcome, () if pinned is None else pinned.item_ids, record.shown_before)

    def label(self, query: RecommendationQuery, outcome: Outcome, shown: Shown) -> tuple[Source, DegradedReason | None]:
        """Where the answer is from, and why it is less than wanted if it is."""
        reason, rows = outcome.degraded_reason, len(shown.selection.rows)
        shows_list = shown.listed or (shown.only_pins and outcome.envelope is not None)
        if outcome.source == "none" or not shows_list:
            if not rows:
                return "empty", reason or ("error" if outcome.envelope is None else "short")
            holdout = outcome.source == "popular" and reason is None
            return "unranked" if self._terms.kind == "ranking" else "popular", reason if holdout else reason or "error"
        if self._terms.kind != "ranking" and rows < query.num_results:
            reason = reason or "short"
        return outcome.source, reason

    def ordered(
        self,
        query: RecommendationQuery,
        ids: Iterable[str],
        catalog: ItemCatalog,
        shown_before: Container[str] | None = None,
    ) -> Iterable[str]:
        """The ids of a list in the order in which they are looked at."""
        done = self.rules.interactions(query) if self.arrangement.uses_interactions else ()
        ids = self.arrangement.ordered(ids, catalog, done)
        if shown_before is None:
            return ids
        groups: tuple[list[str], list[str]] = ([], [])
        for item_id in ids:
            groups[item_id in shown_before].append(item_id)
        return groups[0] + groups[1]

    def _repeated(self, query: RecommendationQuery, pinned: PinnedAnswer) -> Shown:
        rules = self.rules.bind(query)
        selection = Selection()
        item_ids = pinned.item_ids[: query.num_results]
        select(selection, item_ids, rules, len(item_ids))
        return Shown(selection, rules.catalog, listed=len(selection.rows), pinned_by_send=True)

    def _chosen(
        self, query: RecommendationQuery, outcome: Outcome, first: Sequence[str], shown_before: Container[str] | None
    ) -> Shown:
        """The choice; `first` are the items that an earlier part of the message shows, whatever their order."""
        rules = self.rules.bind(query)
        catalog, wanted = rules.catalog, query.num_results
        selection = Selection()
        is_ranking = self._terms.kind == "ranking"
        pins = [] if first else self.arrangement.active_pins(rules, wanted, self._clock.time())
        if is_ranking:
            # An answer to a ranking holds nothing but the given items.
            pins = [pin for pin in pins if pin[1] in query.item_ids]
        has_room = self.arrangement.caps(catalog)
        pins = [pin for pin in pins if has_room is None or has_room(pin[1], pin[2])]
        selection.seen.update(item_id for _, item_id, _ in pins)
        wanted -= len(pins)
        shown = Shown(selection, catalog, only_pins=not wanted, pinned={one: slot for slot, one, _ in pins})
        if is_ranking:
            listed = self._given_in(query, outcome.envelope)
            # With those that Personalize left out at the end, before the operator's order is applied to them all.
            given = dict.fromkeys((*listed, *query.item_ids))
            ids = self.ordered(query, given, catalog, shown_before)
            select(selection, chain(first, ids), rules, wanted, has_room)
            shown.listed = sum(one in listed for one in selection.shown)
        elif outcome.envelope is not None or first:
            kept = () if outcome.envelope is None else envelopes.item_ids(outcome.envelope)
            ids = self.ordered(query, kept, catalog, shown_before)
            select(selection, chain(first, ids) if first else ids, rules, wanted, has_room)
            shown.listed = len(selection.rows)
        fills_up = self._terms.top_up or not shown.listed or outcome.source == "popular"
        if not is_ranking and len(selection.rows) < wanted and fills_up:
            select(selection, self._popular_ids(query, catalog), rules, wanted, has_room)
            shown.topped_up = len(selection.rows) - shown.listed
        for slot, item_id, row in pins:
            selection.rows.insert(slot - 1, row)
            selection.shown.insert(slot - 1, item_id)
        return shown

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
