"""What asking a campaign needs from the outside."""

from collections.abc import Sequence
from typing import Protocol

from service.lists.keys import UserKey
from service.models import ItemList, ListRequest


class Recommender(Protocol):
    """One campaign of Amazon Personalize, or what stands in for it."""

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        """Spend one transaction.

        Raises:
            RecommenderError: The transaction brought no list, for the reason that the class names.
        """


class Recorder(Protocol):
    """Where transactions are counted; metrics hang on it."""

    def transaction(self, outcome: str, seconds: float) -> None:
        """A transaction was spent: `ok`, `empty`, `throttled`, `timeout` or `error`."""

    def budget_wait(self, seconds: float) -> None:
        """A caller waited this long for its slot."""


class Learner(Protocol):
    """Learns from live lists what is recommended most."""

    def learn(self, item_ids: Sequence[str]) -> None:
        """A live list, best first."""


class StaleQueue(Protocol):
    """Where a stale list waits for its refresh."""

    def add(self, key: UserKey, request: ListRequest) -> None:
        """Queue a list; never fails."""
