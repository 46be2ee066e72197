"""The budget shared by all replicas through Redis, and this replica's share of it when Redis is away."""

from pathlib import Path
from typing import Any, Final

from service.budget.ports import Lane, Reservation
from service.budget.schedule import CLIMB_SECONDS
from service.budget.shares import ShareSchedule
from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import HEARTBEAT_SECONDS, RedisConnection

_HERE: Final = Path(__file__).parent

_MICROSECONDS: Final = 1_000_000

_TOO_LATE: Final = -1
_UNKNOWN_REPLICA: Final = -2

UNHEARD_SECONDS: Final = 2 * HEARTBEAT_SECONDS
"""A replica silent for so long may go on alone as soon as no slot is left that was given away before: one heartbeat may
be lost."""


class RedisGovernor:
    """One atomic reservation on Redis's clock for each slot.

    Each replica has a share of the budget for when it cannot reach Redis; all shares together are never more than one.
    It spends it from the moment on at which Redis, should it be there for the others, keeps it out of what it hands
    out: `horizon_seconds` and a second after it last may have heard of us. Until then there is only the quarter of the
    share that is kept back. So never more than one and a quarter of `max_tps` is spent, whichever replicas lose Redis
    in whatever order and for how long, as long as none is cut off for more than 20 s from a Redis that others reach.

    A replica that starts while Redis is down knows of no other, and takes the share that it was configured for. Lists
    made ahead wait until Redis is back.

    Args:
        max_tps: `PERSONALIZE_TPS`, for all replicas together.
        connection: Open; its group decides who shares the budget.
        clock: Its monotonic time carries the slots while Redis is down.
        horizon_seconds: The longest that a caller may reserve ahead: the request's deadline.
    """

    def __init__(self, max_tps: float, *, connection: RedisConnection, clock: Clock, horizon_seconds: float) -> None:
        self._max_tps = max_tps
        self._connection = connection
        self._clock = clock
        self._horizon_seconds = horizon_seconds
        self._reserve = connection.script(_HERE / "reserve.lua")
        self._throttled = connection.script(_HERE / "throttled.lua")
        self._share_schedule = ShareSchedule(max_tps)
        self._reserved_at = float("-inf")
        self._seen_rate, self._seen_at = max_tps, float("-inf")
        connection.on_change(self._on_change)

    async def reserve(self, lane: Lane, within_seconds: float) -> Reservation:
        """See `TpsGovernor.reserve`; one round trip, or none while Redis is down."""
        within_seconds = min(within_seconds, self._horizon_seconds)
        try:
            return await self._reserve_shared(lane, within_seconds)
        except SharedStateUnavailable:
            return self._reserve_alone(lane, within_seconds)

    async def throttled(self) -> None:
        """Halve the rate of all replicas, at most once a second; without Redis, only this one's."""
        self._share_schedule.throttle.throttled(self._connection.shared_time())
        try:
            async with self._connection.use():
                share: Any = await self._throttled(keys=[self._connection.budget_key])
        except SharedStateUnavailable:
            return
        self._saw_rate(self._max_tps * int(share) / _MICROSECONDS)

    @property
    def tps_in_use(self) -> float:
        """The rate of all replicas as last heard; this replica's own while Redis is down."""
        now = self._clock.monotonic()
        if not self._connection.up:
            return self._rate_alone()
        # Nobody asks while nothing is needed, but the rate climbs all the same.
        return min(self._max_tps, self._seen_rate + self._max_tps * (now - self._seen_at) / CLIMB_SECONDS)

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots: of all replicas, or of this one while Redis is down."""
        return 1.0 / self.tps_in_use

    async def _reserve_shared(self, lane: Lane, within_seconds: float) -> Reservation:
        granted, wait_us, rate = await self._ask(lane, within_seconds)
        if granted == _UNKNOWN_REPLICA:
            await self._connection.beat()
            granted, wait_us, rate = await self._ask(lane, within_seconds)
        if granted == _TOO_LATE:
            raise self._connection.came_late(wait_us)
        if granted == _UNKNOWN_REPLICA:
            raise SharedStateUnavailable("Redis forgets this replica")
        self._saw_rate(rate / _MICROSECONDS)
        if granted:
            self._reserved_at = self._clock.monotonic()
        return Reservation(bool(granted), wait_us / _MICROSECONDS)

    async def _ask(self, lane: Lane, within_seconds: float) -> tuple[int, int, int]:
        connection, now = self._connection, self._clock.monotonic()
        horizon = self._horizon_seconds
        lost_at = connection.memory_lost_at
        seen_recently = now - self._reserved_at < horizon or (lost_at is not None and now - lost_at < horizon)
        async with connection.use():
            reply: Any = await self._reserve(
                keys=[connection.budget_key, connection.heartbeats_key, connection.shares_key],
                args=[
                    self._max_tps,
                    int(lane),
                    _microseconds(within_seconds),
                    connection.stamp(),
                    int(seen_recently),
                    _microseconds(horizon),
                    _microseconds(self._quiet_seconds),
                    connection.replica,
                    int(connection.registered),
                    int(connection.serves),
                ],
            )
        granted, wait_us, rate = (int(part) for part in reply)
        return granted, wait_us, rate

    def _reserve_alone(self, lane: Lane, within_seconds: float) -> Reservation:
        connection, place = self._connection, self._connection.place
        if lane is Lane.PREWARM or place is None:
            return Reservation(granted=False, wait_seconds=HEARTBEAT_SECONDS)
        now, whole_from = connection.shared_time(), self._whole_from()
        reservation = self._share_schedule.reserve(place, lane, within_seconds, now, whole_from)
        if reservation.granted and now + reservation.wait_seconds >= whole_from:
            begins = self._clock.monotonic() + reservation.wait_seconds
            connection.alone_until = max(connection.alone_until, begins)
        return reservation

    def _rate_alone(self) -> float:
        connection = self._connection
        if connection.place is None:
            return self._max_tps
        return self._share_schedule.rate(connection.place, connection.shared_time(), self._whole_from())

    def _whole_from(self) -> float:
        """When our whole share begins, on the shared clock."""
        connection = self._connection
        since = connection.heard_until + self._quiet_seconds
        return connection.shared_time() + since - self._clock.monotonic()

    @property
    def _quiet_seconds(self) -> float:
        return self._horizon_seconds + UNHEARD_SECONDS

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if up:
            self._saw_rate(self._max_tps * self._share_schedule.throttle.share(self._connection.shared_time()))

    def _saw_rate(self, rate: float) -> None:
        self._seen_rate, self._seen_at = rate, self._clock.monotonic()


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
