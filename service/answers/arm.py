"""One way in which a placement answers: its own, or a variant of an experiment."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from service.answers.assembly import Assembly
from service.answers.ports import UseCase
from service.clock import Clock
from service.errors import DegradedReason
from service.lists.envelope import Envelope, created_at
from service.lists.keys import UserKey, UserKeys
from service.lists.lists import Lists
from service.lists.numbers import made_at
from service.lists.ports import Outcome
from service.models import Answer, ListRequest, Promotion, RecommendationQuery
from service.personalize.campaign import PersonalizeCampaign
from service.personalize.flight import Timings


@dataclass(frozen=True, slots=True)
class AskingTerms:
    """What goes to Personalize with every list that an arm asks for."""

    context: tuple[tuple[str, str], ...] = ()
    """Constant."""
    context_names: frozenset[str] = frozenset()
    """Names that a caller may add or replace."""
    promotion: Promotion | None = None
    values_change_lists: bool = False
    """Whether `filter_values` go to Personalize, so that each set of them has lists of its own."""


class Arm:
    """Finds the list that answers a query, and shows it.

    Args:
        clock: Deadlines are points on its monotonic time.
        keys: Makes the lists' keys.
        lists: Where lists are kept.
        campaign: Where they come from; None for a holdout, which gets the popular list.
        use_case: What to ask for.
        terms: What goes with it.
        assembly: Makes the answer.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        keys: UserKeys,
        lists: Lists,
        campaign: PersonalizeCampaign | None,
        use_case: UseCase,
        terms: AskingTerms,
        assembly: Assembly,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._use_case = use_case
        self._terms = terms
        self.lists = lists
        self.campaign = campaign
        self.assembly = assembly

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no list to ask for; None if there is one."""
        return self._use_case.lacks(query)

    def request_of(self, query: RecommendationQuery) -> ListRequest:
        """The list that answers this query, of the length to fetch."""
        # Long enough that what was shown in the last sends can give way.
        num_results = query.num_results * (1 + query.rotate)
        if self.campaign is not None:
            num_results = self.campaign.length.to_fetch(num_results)
        request = self._use_case.request(query, num_results)
        terms = self._terms
        if terms == _PLAIN:
            return request
        context = dict(terms.context)
        context.update((name, value) for name, value in query.context if name in terms.context_names)
        return replace(
            request,
            filter_values=query.filter_values if terms.values_change_lists else (),
            context=tuple(sorted(context.items())),
            promotion=terms.promotion,
        )

    def key_of(self, query: RecommendationQuery) -> UserKey | None:
        """The key of the list that answers this query; None where there is none to ask for."""
        if self.campaign is None or self.lacks(query) is not None:
            return None
        return self._keys.of(self.request_of(query))

    def maker_of_keys(self, query: RecommendationQuery) -> Callable[[str], UserKey | None]:
        """Makes the key of the list that answers a query which differs from this one in its user only.

        Where this one names no user, the other names none either.
        """
        if self.campaign is None:
            return lambda _: None
        request = self.request_of(query)
        if request.user_id and self.lacks(query) is None:
            return self._keys.of_users(request)
        if request.kind == "similar-items" and not request.user_id:
            key = self.key_of(query)
            return lambda _: key
        return lambda user_id: self.key_of(replace(query, user_id=user_id))

    def key_of_request(self, request: ListRequest) -> UserKey:
        """The key of a list of this arm."""
        return self._keys.of(request)

    async def find(self, query: RecommendationQuery, deadline: float, key: UserKey | None) -> tuple[Outcome, Timings]:
        """The best list to be had before the deadline, a point on the monotonic clock."""
        if key is None:
            key = self.key_of(query)
        at_hand = self.at_hand(query, key)
        if at_hand is not None or key is None or self.campaign is None:
            return at_hand or self.lists.without_batch(None, "error"), []
        outcome, timings = await self.campaign.outcome(
            key, self.request_of(query), self.lists.kept(key), deadline, query.sender
        )
        # A call of the same message with less time left may have been answered while this one waited.
        return self.lists.pinned(key) or outcome, timings

    def joined(
        self, query: RecommendationQuery, key: UserKey | None, outcome: Outcome, timings: Timings
    ) -> Answer | None:
        """The answer that shows a fresh list as a join of ready items; None where it is to be made item by item."""
        envelope, source = outcome.envelope, outcome.source
        if key is None or envelope is None or outcome.degraded_reason or source not in ("personalize", "cache"):
            return None
        answers = self.assembly.joined
        if answers is None or not query.is_plain or query.kind == "ranking":
            return None
        kept = self.lists.fresh_numbered(key, self._clock.time())
        # Another one of this user may have come since.
        if kept is None or made_at(kept) != created_at(envelope):
            return None
        joined = answers.answer(query, source, envelope, kept, timings)
        if joined is None:
            return None
        answer, with_choice = joined
        if with_choice is not None:
            self.lists.keep_choice(key, with_choice)
        return answer

    def at_hand(self, query: RecommendationQuery, key: UserKey | None) -> Outcome | None:
        """What is shown without a look at another place; None if a list is to be fetched, or looked for."""
        lists = self.lists
        reason = self.lacks(query)
        if reason is not None:
            return lists.without_batch(None, reason)
        if key is None:
            return Outcome(lists.without_batch(None, "error").envelope, "popular")
        pinned = lists.pinned(key)
        if pinned is not None:
            return pinned
        kept = lists.kept(key)
        return Outcome(kept, "cache") if kept is not None and lists.is_fresh(key, kept) else None

    async def kept(self, key: UserKey, reason: DegradedReason, deadline: float) -> Outcome | None:
        """What is kept under a key anywhere, at no transaction; None if nothing is."""
        found = await self.lists.look(key, reason, deadline)
        return None if found.source == "popular" else found

    def from_list(self, query: RecommendationQuery, envelope: Envelope) -> Outcome | None:
        """The outcome of a fresh list in memory; None if items must be fetched first."""
        return Outcome(envelope, "cache") if self.assembly.is_here(query, envelope) else None


_PLAIN = AskingTerms()
