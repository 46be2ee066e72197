"""What a replica decides for all, while Redis is away, about the keys that it owns.

It does what `board.lua` and `land.lua` do: who leads a flight, which answer was the first, and who waits for an end.
The lists are those of its memory. Flights that were begun through Redis, and lists that landed there in the last
moments, are known to the replicas that led them; the owner asks for them before it decides anything.
"""

from dataclasses import dataclass, field
from typing import Final

from service.clock import Clock
from service.lists.envelope import Envelope, created_at
from service.lists.forgetting import ForgottenLately
from service.lists.keys import UserKey
from service.lists.pins import LocalPins
from service.lists.ports import Boarding, LocalLists, Outcome

MAX_FLIGHTS: Final = 20_000
"""Flights that one replica decides about at a time; beyond it, everybody who asks leads."""

_LOOK_SECONDS: Final = 0.5
"""Between two looks for flights that have ended, while there are too many."""

Followers = dict[bytes, bool]
"""Names of replicas, and whether each may be given what is known of a user."""


@dataclass(slots=True)
class _OwnedFlight:
    leader: bytes
    ends: float
    """Monotonic time after which nobody leads it any more."""
    followers: Followers = field(default_factory=dict)
    """They are to hear of its end."""


@dataclass(frozen=True, slots=True)
class Ages:
    """Between these Unix seconds was a list made that counts."""

    earliest: float
    latest: float

    def hold(self, envelope: Envelope | None) -> bool:
        """Whether such a list was."""
        return envelope is not None and self.earliest <= created_at(envelope) <= self.latest


@dataclass(frozen=True, slots=True)
class Ended:
    """What an owner says to an answer.

    Attributes:
        pin: The degraded answer that was here before, and the seconds for which it is still repeated.
        envelope: The list that was here before a degraded answer.
        followers: Who waits for this.
    """

    pin: tuple[Outcome, float] | None
    envelope: Envelope | None
    followers: Followers

    @property
    def answered_before(self) -> bool:
        """Whether something else is to be shown."""
        return self.pin is not None or self.envelope is not None


class OwnedKeys:
    """The flights, pins and lists about which this replica decides.

    Args:
        memory: Its lists.
        pins: The degraded answers that it repeats for all.
        lately: Of these users nothing is kept.
        clock: Its monotonic time ends flights.
    """

    def __init__(self, memory: LocalLists, pins: LocalPins, lately: ForgottenLately, clock: Clock) -> None:
        self._memory = memory
        self._pins = pins
        self._lately = lately
        self._clock = clock
        self._flights: dict[UserKey, _OwnedFlight] = {}
        self._look_at = float("-inf")

    def board(
        self, key: UserKey, ages: Ages, *, lease_seconds: float, renew: bool, who: bytes, gives: bool = True
    ) -> Boarding:
        """See `SharedLists.board`; this replica leads, or hears of the end.

        One that nothing is to be given learns only that.
        """
        now = self._clock.monotonic()
        envelope = self._memory.get(key) if gives else None
        if gives and (pin := self._pins.lasting(key)) is not None:
            return Boarding(leader=False, envelope=envelope, pinned=pin[0], pinned_seconds=pin[1])
        if not renew and ages.hold(envelope):
            return Boarding(leader=False, envelope=envelope)
        flight = self._flights.get(key)
        if flight is not None and flight.ends > now and flight.leader != who:
            flight.followers[who] = gives
            return Boarding(leader=False, envelope=envelope, lease_seconds=flight.ends - now)
        self.lead(key, who, lease_seconds)
        return Boarding(leader=True, envelope=envelope)

    def lead(self, key: UserKey, who: bytes, lease_seconds: float) -> None:
        """A flight begins, or has begun before anybody asked."""
        now = self._clock.monotonic()
        if len(self._flights) >= MAX_FLIGHTS:
            if now >= self._look_at:
                # Not with each flight: to look takes a millisecond.
                self._look_at = now + _LOOK_SECONDS
                self._flights = {one: flight for one, flight in self._flights.items() if flight.ends > now}
            if len(self._flights) >= MAX_FLIGHTS:
                return
        before = self._flights.get(key)
        followers = before.followers if before is not None and before.leader == who else {}
        self._flights[key] = _OwnedFlight(who, now + lease_seconds, followers)

    def keep(self, key: UserKey, envelope: Envelope) -> None:
        """Keep a list, unless a newer one is here or its user was forgotten lately."""
        kept = self._memory.get(key)
        if not self._lately.holds(key) and (kept is None or created_at(kept) < created_at(envelope)):
            self._memory.put(key, envelope)

    def land(self, key: UserKey, outcome: Outcome, ages: Ages, *, led: bool, who: bytes) -> Ended:
        """See `SharedLists.land`."""
        pin, envelope = self._pins.lasting(key), None
        if outcome.source == "personalize" and outcome.envelope is not None:
            self.keep(key, outcome.envelope)
        elif pin is None and outcome.degraded_reason and not self._lately.holds(key):
            kept = self._memory.get(key)
            if ages.hold(kept):
                envelope = kept
            else:
                self._pins.put(key, outcome)
        followers: Followers = {}
        flight = self._flights.get(key)
        if flight is not None and (flight.leader == who or not led):
            followers, flight.followers = flight.followers, {}
            if led:
                del self._flights[key]
        return Ended(pin, envelope, followers)
