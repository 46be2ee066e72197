"""Placements: named ways to ask Personalize and to answer. Always answered, always before the deadline."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.answers.arm import Arm
from service.answers.ports import NO_RECORD, PinnedAnswer, SendMemory, SendRecord
from service.answers.split import Split
from service.clock import Clock, margin_seconds
from service.errors import InvalidQuery
from service.lists.asked import AskedItems
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey
from service.lists.pins import LocalPins
from service.lists.ports import Outcome, OutcomeSource
from service.models import Answer, ItemList, RecommendationQuery, RequestKind

_MAX_PARTS_FIRST = 3
"""Other parts of a message that may be answered before this one; then it shows what they do."""


class Placement:
    """Answers queries of one kind.

    Args:
        name: As callers name it.
        kind: Of queries.
        clock: Deadlines are points on its monotonic time.
        arms: The placement's own first, then the variants in the order of their shares.
        split: Which arm a user is in.
        sends: What users were shown in their sends; None: nothing is pinned.
        item_from: Event type by which an item is found for callers who name none; None: they have to.
        fallback_pins: Repeats the fallback's list for some seconds, so that the parts of one message agree.
    """

    def __init__(
        self,
        *,
        name: str,
        kind: RequestKind,
        clock: Clock,
        arms: Sequence[Arm],
        split: Split,
        fallback_pins: LocalPins,
        item_from: str | None = None,
        sends: SendMemory | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.arms = tuple(arms)
        self._clock = clock
        self._split = split
        self._fallback_pins = fallback_pins
        self._item_from = item_from
        self.sends = sends
        self._fallbacks: tuple[Placement, ...] = ()
        self.asked_items = AskedItems(clock)
        """Items that callers asked for; only similar items have any."""

    def fall_back_to(self, placements: Sequence["Placement"]) -> None:
        """Show lists that these keep, in this order, before the popular list."""
        self._fallbacks = tuple(placements)

    @property
    def finds_items(self) -> bool:
        """Whether an item that a caller does not name is found among what the user did."""
        return self._item_from is not None

    def arm_of(self, query: RecommendationQuery) -> Arm:
        """The arm that answers the query's user; the placement's own where there is no user to divide by."""
        return self.arms[self.place_of_arm(query.user_id)]

    def place_of_arm(self, user_id: str) -> int:
        """Which of the arms answers a user."""
        if len(self.arms) == 1 or not user_id:
            return 0
        arm = self._split.arm_of(user_id)
        return 0 if arm is None else arm + 1

    def with_item(self, query: RecommendationQuery) -> RecommendationQuery:
        """The query with the item of the user's latest event, where it names none; no wait.

        The query itself where there is nothing to find, or the user's events are not here.

        Raises:
            InvalidQuery: It names no item, and there is no event to find one by.
        """
        if query.item_id or (self._item_from is None and query.names_item):
            return query
        if self._item_from is None:
            raise InvalidQuery("item_id", "is missing; send it blank for the non-personalised list")
        item_id = self.arm_of(query).assembly.latest_item(query.user_id, self._item_from)
        return replace(query, item_id=item_id, because_of_item=True) if item_id else query

    def from_list(self, query: RecommendationQuery, arm: Arm, envelope: Envelope) -> Answer | None:
        """The answer to a query from a fresh list; no wait, no transaction. None if items must be fetched first.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or an exclusion lacks a value.
        """
        arm.assembly.check(query)
        outcome = arm.from_list(query, envelope)
        return None if outcome is None else arm.assembly.answer(query, outcome)

    async def answer(
        self, query: RecommendationQuery, deadline: float, *, arm: Arm | None = None, key: UserKey | None = None
    ) -> Answer:
        """The best answer to be had before the deadline.

        Args:
            query: What the caller asks for.
            deadline: Point on the monotonic clock.
            arm: The user's, if it is known already.
            key: The list's, if it has been made already.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or an exclusion lacks a value.
        """
        if arm is None:
            arm = self.arm_of(query)
        arm.assembly.check(query)
        deadline -= margin_seconds(deadline - self._clock.monotonic())
        if query.user_id:
            await arm.assembly.own_events.load(query.user_id, deadline - self._clock.monotonic())
            # Without its item a query has no key.
            query = self.with_item(query)
        if query.item_id:
            self.asked_items.note(query.item_id)
        if self.sends is None or not query.user_id or not (query.send or query.rotate):
            return await self._found(query, arm, key, deadline, NO_RECORD)
        return await self._of_a_send(self.sends, query, arm, key, deadline)

    async def _found(
        self, query: RecommendationQuery, arm: Arm, key: UserKey | None, deadline: float, record: SendRecord
    ) -> Answer:
        outcome, timings = await arm.find(query, deadline, key)
        answer = arm.joined(query, key, outcome, timings)
        if answer is not None:
            return answer
        outcome, answered_by = await self.fall_back(query, outcome, deadline)
        await arm.assembly.fetch(query, outcome.envelope, deadline - self._clock.monotonic())
        return arm.assembly.answer(query, outcome, timings, answered_by, record)

    async def _of_a_send(
        self, sends: SendMemory, query: RecommendationQuery, arm: Arm, key: UserKey | None, deadline: float
    ) -> Answer:
        """The answer that all parts of a message show: the pin, else one that becomes the pin."""

        def left() -> float:
            return deadline - self._clock.monotonic()

        record = await sends.look(self.name, query, left())
        pin = record.pinned
        for _ in range(_MAX_PARTS_FIRST):
            if pin is not None and pin.asked >= query.num_results:
                break
            answer = await self._found(query, arm, key, deadline, record)
            if not query.send or not answer.shown:
                return answer
            pinned = _pinned(query, answer, "" if answer.placement == self.name else answer.placement)
            pin = await sends.keep(self.name, query, pinned, pin, left())
            if pin is pinned:
                return answer
            # Another part was answered while this one was on its way.
            record = SendRecord(pin, record.shown_before)
        assert pin is not None  # noqa: S101  # as it was found, or else a round has kept it
        query = because_of(query, pin)
        await arm.assembly.fetch(query, pin.outcome.envelope, left())
        # Also where it is shorter: what it shows first, all parts show.
        pin = replace(pin, asked=max(pin.asked, query.num_results))
        return arm.assembly.answer(query, pin.outcome, (), pin.placement, SendRecord(pin))

    async def fall_back(
        self, query: RecommendationQuery, popular: Outcome, deadline: float, *, answers: bool = True
    ) -> tuple[Outcome, str]:
        """What a fallback keeps for the caller, and its name; the popular outcome if none keeps anything.

        Args:
            query: What is asked for.
            popular: What is shown otherwise; only a degraded popular list falls back.
            deadline: Point on the monotonic clock.
            answers: Whether a caller is answered with it, so that it is to be repeated for some seconds.
        """
        if popular.source != "popular" or popular.degraded_reason is None:
            return popular, ""
        reason = popular.degraded_reason
        for placement in self._fallbacks:
            arm = placement.arm_of(query)
            # The fallback's own key: ours may be that of an item, whose callers are many.
            key = arm.key_of(query)
            if key is None:
                continue
            found = self._fallback_pins.get(key)
            if found is None:
                found = await arm.kept(key, reason, deadline)
                if found is not None and answers:
                    self._fallback_pins.put(key, found)
            if found is not None:
                return found, placement.name
        return popular, ""


def because_of(query: RecommendationQuery, pin: PinnedAnswer) -> RecommendationQuery:
    """The query with the item that the pinned answer was because of, if there was one."""
    return replace(query, item_id=pin.because or query.item_id, because_of_item=bool(pin.because))


def _pinned(query: RecommendationQuery, answer: Answer, placement: str) -> PinnedAnswer:
    """An answer, to be shown again. That nothing was live any more when it is repeated, is no matter."""
    source: OutcomeSource = "cache"
    if answer.source in ("stale", "batch", "popular"):
        source = answer.source
    elif answer.source in ("unranked", "empty"):
        source = "none"
    popular = answer.popular and source != "popular"
    items = ItemList(answer.shown, answer.recommendation_id, answer.made_at, frozenset(answer.promoted), popular)
    return PinnedAnswer(
        asked=query.num_results,
        outcome=Outcome(seal(items), source, answer.degraded_reason),
        placement=placement,
        because=query.item_id if query.because_of_item else "",
    )


class Placements:
    """All placements of a service by name.

    Args:
        placements: In the operator's order; the first of a kind answers callers that name none.
    """

    def __init__(self, placements: Sequence[Placement]) -> None:
        self._by_name = {one.name: one for one in placements}
        self._first: dict[RequestKind, Placement] = {}
        for one in placements:
            self._first.setdefault(one.kind, one)

    def __iter__(self) -> Iterator[Placement]:
        return iter(self._by_name.values())

    def of(self, query: RecommendationQuery) -> Placement:
        """The placement that answers a query.

        Raises:
            InvalidQuery: There is none of this name or kind.
        """
        if not query.placement:
            first = self._first.get(query.kind)
            if first is None:
                raise InvalidQuery("placement", f"no placement of kind {query.kind} is configured")
            return first
        found = self._by_name.get(query.placement)
        if found is None or found.kind != query.kind:
            names = ", ".join(one.name for one in self if one.kind == query.kind) or "none"
            there = f"of kind {query.kind}; there are: {names}"
            raise InvalidQuery("placement", f"no placement {query.placement!r} {there}", f"no such placement {there}")
        return found
