"""What asking a campaign needs from the outside."""

from typing import Protocol

from service.models import ItemList, ListRequest


class Recommender(Protocol):
    """Amazon Personalize, or what stands in for it."""

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        """Spend one transaction.

        Raises:
            RecommenderError: The transaction brought no list, for the reason that the class names.
        """


class Recorder(Protocol):
    """Where the core says what happened; metrics hang on it."""

    def transaction(self, outcome: str, seconds: float) -> None:
        """A transaction was spent: `ok`, `empty`, `throttled`, `timeout` or `error`."""

    def budget_wait(self, seconds: float) -> None:
        """A caller waited this long for its slot."""

    def dropped(self, reason: str, items: int) -> None:
        """Items of a list were not fit to show."""
