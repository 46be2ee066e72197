"""The store of batch lists, as the command that loads it sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from service.lists.keys import UserKey
from service.models import ItemList

OTHER_LOAD: Final = "another load has begun; that one goes on, and this one has ended"
"""What a `BatchError` says to a load that `BatchSets.begin` has taken the store from."""


@dataclass(frozen=True, slots=True)
class SetStatus:
    """What a store of batch lists holds."""

    description: bytes | None
    """What `BatchSets.switch` got for the active set; None when there is none."""

    lists: int
    """Lists in the active set."""

    progress: bytes | None
    """What the last `BatchSets.write` of the load under way got, empty before the first; None without a load."""


class BatchSets(Protocol):
    """The store of batch lists, as the command that loads it sees it.

    It holds at most one active set and one that is being loaded. Nothing of a set being loaded is served.
    Every method raises `BatchError` when the store does not answer or has no room.
    """

    def begin(self, source: str) -> bytes | None:
        """Go on with the set that was begun from this source, or begin an empty one in the place of any other.

        Earlier loaders can write no more.

        Returns:
            The progress of the last `write` if there was one, else None.
        """

    def write(self, lists: Sequence[tuple[UserKey, ItemList]], progress: bytes) -> None:
        """Keep lists, the last one of a user, and the progress; all of it or nothing."""

    def switch(self, description: bytes) -> int:
        """Make the set active, at once for all replicas, and remove every other; the number of its lists."""

    def status(self) -> SetStatus:
        """What there is."""

    def drop(self) -> None:
        """Remove every set."""

    def close(self) -> None:
        """Give back what is open."""
