"""The governor, which hands out slots of the budget, and the lanes that it serves in order."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Lane(IntEnum):
    """The order of claims on the budget; a lower number goes first."""

    NO_LIST = 1
    STALE = 2
    PREWARM = 3


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a governor answers.

    Attributes:
        granted: How many slots the caller has; none if it is refused.
        wait_seconds: Granted: until the first one begins; below zero if it has begun, on the way to us. Refused: until
            asking again could make sense.
        apart_seconds: From one granted slot to the next.
    """

    granted: int
    wait_seconds: float
    apart_seconds: float = 0.0

    def begins(self, now: float) -> list[float]:
        """When the slots begin."""
        return [now + self.wait_seconds + number * self.apart_seconds for number in range(self.granted)]


class TpsGovernor(Protocol):
    """Hands out the slots of `PERSONALIZE_TPS`, one transaction each, evenly spaced."""

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        """Take the next slot if it begins within the given time.

        `Lane.NO_LIST` takes one, however late it begins. The lower lanes take as many as begin within `lead_seconds`:
        a slot reserved for them may delay a user without a list. That is one slot, or the lead where slots are shorter.
        """

    async def throttled(self) -> None:
        """Lower the rate in use at once: Personalize refused a transaction for its rate."""

    @property
    def max_tps(self) -> float:
        """The rate at which slots are handed out at most: so near to each other may slots be that are not used yet."""

    @property
    def tps_in_use(self) -> float:
        """The rate at which slots are handed out now; at most `max_tps`."""

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots of this replica's source of slots."""

    @property
    def lead_seconds(self) -> float:
        """How long before its beginning a lower lane may reserve a slot: what asking takes, and a little more."""
