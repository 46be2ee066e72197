"""What fetches lists before a send is asked, and what it answers; where pins of a send are kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from service.constants import DEFAULT_NUM_RESULTS, MAX_ROTATE
from service.lists.keys import UserKey, UserPrefix
from service.lists.ports import Forgettable
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


SHORT_BYTES: Final = 4
"""Of an item or a send among what was shown. That two meet has a chance of one in four thousand million; then an item
stands further down."""

DIGEST_BYTES: Final = 8
"""Of what was asked in a send. A user's pins of one day are few."""

MAX_PINS_OF_A_LIST: Final = 8
"""Pins of a user that are found by the id of their list."""

MAX_SENDS: Final = MAX_ROTATE + 1
"""Sends of a user that are remembered: those that `rotate` can ask for, and the present one."""

MAX_ITEMS_OF_A_SEND: Final = 100
"""Items of one send that are remembered."""

SHOWN_SECONDS: Final = 90 * 86_400.0
"""What was shown is forgotten so long after the user's last send."""


@dataclass(frozen=True, slots=True)
class ShownItems:
    """What a user was shown in one send, as digests."""

    send: bytes
    items: tuple[bytes, ...]


class SendStore(Forgettable, Protocol):
    """Keeps pins over replicas and restarts. Every method raises `SharedStateUnavailable` when it cannot be asked."""

    async def look(self, key: UserKey) -> tuple[bytes | None, Sequence[ShownItems]]:
        """The pin under this key, and what the user was shown in the last `MAX_SENDS` sends, the latest last."""

    async def pins_of(self, user_prefix: UserPrefix, recommendation_id: str) -> Sequence[bytes]:
        """At least the latest `MAX_PINS_OF_A_LIST` pins of the user that were kept with this id, in any order."""

    async def keep(
        self,
        key: UserKey,
        packed: bytes,
        *,
        instead_of: int,
        seconds: float,
        shown: ShownItems,
        recommendation_id: str = "",
    ) -> bytes | None:
        """Keep a pin, unless another one was first.

        Args:
            key: The user prefix, and a digest of what was asked in the send.
            packed: The pin; its first two bytes say how many items were asked for.
            instead_of: Items that the pin was asked for which this one goes on from; 0 if there was none.
            seconds: How long it lasts.
            shown: What was shown.
            recommendation_id: Of the list that was shown, if `pins_of` is to find the pin by it.

        Returns:
            The pin that was first; None if this one is kept.
        """
