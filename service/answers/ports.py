"""What a placement needs: how its use case asks, and what its users did."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.errors import DegradedReason
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
