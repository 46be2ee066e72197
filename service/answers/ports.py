"""What a placement needs: how its use case asks, and what its users did."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from service.errors import DegradedReason
from service.lists.envelope import item_ids, recommendation_id
from service.lists.ports import Outcome
from service.models import ListRequest, RecommendationQuery


class UseCase(Protocol):
    """What a placement of one kind asks Personalize for."""

    def lacks(self, query: RecommendationQuery) -> DegradedReason | None:
        """Why there is no list to ask for; None if there is one."""

    def request(self, query: RecommendationQuery, num_results: int) -> ListRequest:
        """The list to ask for."""


class OwnEvents(Protocol):
    """What a user did, and what it keeps out of the user's answers. Nothing waits but `load`."""

    def items(self, user_id: str) -> frozenset[str]:
        """Items that are in none of the user's answers now."""

    def interactions(self, user_id: str) -> Sequence[tuple[str, str]]:
        """Item and event type of what the user did, the oldest first; latest 100 items of each type."""

    def latest(self, user_id: str, event_type: str) -> Sequence[str]:
        """Items of the user's events of this type, the latest first."""

    def by_type(self, user_id: str) -> Mapping[str, Mapping[str, float]] | None:
        """For each event type its items, and when in Unix seconds; None while the user's events are not here."""

    def version(self, user_id: str) -> int:
        """Changes with every event of the user; negative while they are not known here."""

    async def load(self, user_id: str, within_seconds: float) -> None:
        """Have the user's events here, as far as the time allows; never fails."""


@dataclass(frozen=True, slots=True)
class PinnedAnswer:
    """What all parts of a message show."""

    asked: int
    """Items that were asked for; fewer may have been shown."""

    outcome: Outcome
    """The items shown, as a list, and how it was found."""

    placement: str = ""
    """Name of the fallback that the list is from; empty for the placement's own."""

    because: str = ""
    """The item that the user's events named; empty for none."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        """What was shown, in this order."""
        return () if self.outcome.envelope is None else tuple(item_ids(self.outcome.envelope))

    @property
    def recommendation_id(self) -> str:
        """Of the list that it was made of; empty where Personalize gave none."""
        return "" if self.outcome.envelope is None else recommendation_id(self.outcome.envelope)


@dataclass(frozen=True, slots=True)
class SendRecord:
    """What is known of a user's sends."""

    pinned: PinnedAnswer | None = None
    shown_before: Container[str] | None = None
    """Items of the last sends that `rotate` asks for; None if there are none."""


NO_RECORD: Final = SendRecord()


class SendMemory(Protocol):
    """What users were shown in their sends; costs no transaction, and never fails."""

    async def look(self, placement: str, query: RecommendationQuery, within_seconds: float) -> SendRecord:
        """What the query's user was shown, as far as the time allows to look."""

    async def keep(
        self,
        placement: str,
        query: RecommendationQuery,
        pinned: PinnedAnswer,
        before: PinnedAnswer | None,
        within_seconds: float,
    ) -> PinnedAnswer:
        """Pin an answer from now on; what all parts show is the one that was first.

        Args:
            placement: Its name.
            query: What was asked for.
            pinned: The answer.
            before: The shorter pin that it goes on from.
            within_seconds: How long to wait for other replicas.
        """


class NoEvents:
    """`OwnEvents` of a service that takes none."""

    def items(self, user_id: str) -> frozenset[str]:
        """Nothing is kept out."""
        del user_id
        return frozenset()

    def interactions(self, user_id: str) -> Sequence[tuple[str, str]]:
        """Nobody did anything."""
        del user_id
        return ()

    def latest(self, user_id: str, event_type: str) -> Sequence[str]:
        """Nobody did anything."""
        del user_id, event_type
        return ()

    def by_type(self, user_id: str) -> Mapping[str, Mapping[str, float]] | None:
        """Nobody did anything."""
        del user_id
        return {}

    def version(self, user_id: str) -> int:
        """Nothing ever changes."""
        del user_id
        return 0

    async def load(self, user_id: str, within_seconds: float) -> None:
        """Nothing to load."""
