"""The use case: one user's recommendations, always answered, always before the deadline."""

from service.answers.assembly import Assembly
from service.answers.rules import ItemRules
from service.clock import Clock
from service.constants import ANSWER_MARGIN_SECONDS
from service.errors import DeadlineExceeded
from service.lists.envelope import Envelope
from service.lists.keys import UserKey, UserKeys
from service.lists.lists import Lists
from service.lists.ports import Outcome
from service.models import Answer, ListRequest, RecommendationQuery
from service.personalize.campaign import PersonalizeCampaign
from service.personalize.flights import Timings


class Recommendations:
    """Answers queries of one replica from one campaign.

    Args:
        clock: Deadlines are points on its monotonic time.
        keys: Makes the lists' keys.
        lists: Where lists are kept.
        campaign: Where they come from.
        rules: What may be shown.
        assembly: Makes the answer.
        values_change_lists: Whether `filter_values` go to Personalize, so that each set of them has lists of its own.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        keys: UserKeys,
        lists: Lists,
        campaign: PersonalizeCampaign,
        rules: ItemRules,
        assembly: Assembly,
        values_change_lists: bool,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._campaign = campaign
        self._rules = rules
        self._assembly = assembly
        self._values_change_lists = values_change_lists
        self.lists = lists
        """Where the lists are that answer queries without a wait."""

    @property
    def rules_version(self) -> int:
        """Changes whenever an answer rendered before could now be different."""
        return self._rules.version

    def request_of(self, query: RecommendationQuery) -> ListRequest:
        """The list that answers this query, of the length to fetch."""
        return ListRequest(
            user_id=query.user_id,
            num_results=self._campaign.length.to_fetch(query.num_results),
            filter_values=query.filter_values if self._values_change_lists else (),
        )

    def key_of(self, query: RecommendationQuery) -> UserKey:
        """The key of the list that answers this query."""
        return self._keys.of(self.request_of(query))

    def from_list(self, query: RecommendationQuery, envelope: Envelope) -> Answer | None:
        """The answer to a query from a fresh list; no wait, no transaction. None if items must be fetched first.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or the exclusion lacks a value.
        """
        self._rules.check(query)
        if not self._assembly.is_here(query, envelope):
            return None
        return self._assembly.answer(query, Outcome(envelope, "cache"))

    async def answer(self, query: RecommendationQuery, deadline: float, key: UserKey | None = None) -> Answer:
        """The best answer to be had before the deadline.

        Args:
            query: What the caller asks for.
            deadline: Point on the monotonic clock.
            key: The list's, if it has been made already.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or the exclusion lacks a value.
        """
        self._rules.check(query)
        deadline -= ANSWER_MARGIN_SECONDS
        outcome, timings = await self._outcome(query, deadline, key)
        await self._assembly.fetch(query, outcome.envelope, deadline - self._clock.monotonic())
        return self._assembly.answer(query, outcome, timings)

    async def _outcome(
        self, query: RecommendationQuery, deadline: float, key: UserKey | None
    ) -> tuple[Outcome, Timings]:
        lists = self.lists
        if not query.user_id:
            return lists.without_batch(None, "no_user"), []
        request = self.request_of(query)
        if key is None:
            key = self._keys.of(request)
        pinned = lists.pinned(key)
        if pinned is not None:
            return pinned, []
        kept = lists.kept(key)
        if kept is not None and lists.is_fresh(kept):
            return Outcome(kept, "cache"), []
        timings: Timings = []
        try:
            outcome, timings = await self._campaign.outcome(key, request, kept, deadline)
        except DeadlineExceeded:
            outcome = await lists.step_down(key, kept, "timeout", deadline)
            lists.pin(key, outcome)
        # A call of the same message with less time left may have been answered while this one waited.
        return lists.pinned(key) or outcome, timings
