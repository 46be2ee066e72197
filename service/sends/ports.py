"""What fetches lists before a send is asked, and what it answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from service.constants import DEFAULT_NUM_RESULTS
from service.sends.users.findings import Findings

DEFAULT_SPARE: Final = 0.8
"""Share of the rate that a prewarm may spend when nobody names one: what is left is for callers."""


@dataclass(frozen=True, slots=True)
class PrewarmTerms:
    """Which lists to fetch before a send.

    Attributes:
        spare: Share of the rate in use that may be spent on them at most, above 0, at most 1.
        num_results: Items that the templates of the send will ask for.
        max_age_seconds: A list that is younger is good enough; one that is fresh always is.
        placement: Whose lists; empty: the first one's.
        only_kept: Users of whom no list is kept are left out.
        items: The lists are those of items, and the names are item ids.
    """

    spare: float = DEFAULT_SPARE
    num_results: int = DEFAULT_NUM_RESULTS
    max_age_seconds: float = 0.0
    placement: str = ""
    only_kept: bool = False
    items: bool = False


@dataclass(slots=True)
class PrewarmReport:
    """What came of fetching lists for some users.

    Attributes:
        fetched: Lists that cost a transaction.
        kept: Users who had a list that is young enough, or whose list another call was fetching.
        left: Users whose turn did not come.
        failed: Users whose transaction brought no list, and why.
        tps: Rate in use of all replicas.
        fresh_seconds: How long a list is fresh.
    """

    fetched: int = 0
    kept: int = 0
    left: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    tps: float = 0.0
    fresh_seconds: float = 0.0


class ListMaker(Protocol):
    """Fetches lists before a send, here or in a replica."""

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        """Fetch a list for each user who has none that is young enough, in the lowest lane of the budget.

        Args:
            users: Each once.
            terms: Share, length and age.
            seconds: How long to wait for slots; transactions begun by then are awaited. 0 only looks up who is left.
            on_done: Called once for each user, as soon as the user has a list.

        Raises:
            SharedStateUnavailable: The lists cannot be looked at now; nothing was spent.
        """


class ItemListMaker(ListMaker, Protocol):
    """Also knows which items were asked for."""

    async def recent_items(self) -> list[str]:
        """Ids of the items that the placement was asked for lately, the latest first.

        Raises:
            SharedStateUnavailable: They cannot be looked at now.
        """


class Names(Protocol):
    """Whose lists are to be fetched: users, or items."""

    @property
    def name(self) -> str:
        """What messages call the source."""

    @property
    def are_far(self) -> bool:
        """Whether reading waits for a network."""

    def users(self, findings: Findings | None = None) -> Iterator[str]:
        """The names; with findings, each once. Reading begins anew with each call."""
