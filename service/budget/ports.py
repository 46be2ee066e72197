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
        granted: Whether the caller has the slot.
        wait_seconds: Granted: until the slot begins. Refused: until asking again could make sense.
    """

    granted: bool
    wait_seconds: float


class TpsGovernor(Protocol):
    """Hands out the slots of `PERSONALIZE_TPS`, one transaction each, evenly spaced."""

    async def reserve(self, lane: Lane, within_seconds: float) -> Reservation:
        """Take the next slot if it begins within the given time.

        Only `Lane.NO_LIST` may reserve a slot that begins later. The lower lanes get one that is free at once, since a
        slot reserved for them would delay a user without a list.
        """

    async def throttled(self) -> None:
        """Lower the rate in use at once: Personalize refused a transaction for its rate."""

    @property
    def tps_in_use(self) -> float:
        """The rate at which slots are handed out now; at most `PERSONALIZE_TPS`."""

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots of this replica's source of slots."""
