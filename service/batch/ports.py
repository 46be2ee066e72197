"""The store of batch lists, as the command that loads it sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.models import ItemList


@dataclass(frozen=True, slots=True)
class SetStatus:
    """What a store of lists made ahead holds.

    Attributes:
        about: What `BatchSets.switch` was told of the set in force; None when there is none.
        lists: Lists in it.
        mark: How far the load under way has come; None when there is none.
    """

    about: bytes | None
    lists: int
    mark: bytes | None


class BatchSets(Protocol):
    """The store of lists made ahead, as who loads it sees it: one set in force and at most one being loaded.

    Every method raises `BatchError` when the store does not answer or has no room. Nothing of a set being loaded
    is served.
    """

    def begin(self, source: str) -> bytes | None:
        """Go on with the set that was begun from this source, or begin an empty one in the place of any other.

        Returns:
            The mark of the last `write` if there was one, else None. Whoever began earlier can write no more.
        """

    def write(self, lists: Sequence[tuple[bytes, ItemList]], mark: bytes) -> None:
        """Keep lists by user's key, the last one of a user, and the mark; all of it or nothing."""

    def switch(self, about: bytes) -> int:
        """Put the set in force, at once for all replicas, and remove every other; the number of its lists."""

    def status(self) -> SetStatus:
        """What there is."""

    def drop(self) -> None:
        """Remove every set."""

    def close(self) -> None:
        """Give back what is open."""
