"""The budget shared by all replicas through Redis, and this replica's share of it when Redis is away."""

from typing import Any, Final

from service.adapters.redis_connection import HEARTBEAT_SECONDS, RedisConnection
from service.core.governor import CLIMB_SECONDS, SlotSchedule
from service.errors import SharedStateUnavailable
from service.ports import Clock, Lane, Reservation

_MICROSECONDS: Final = 1_000_000


class RedisGovernor:
    """One atomic reservation on Redis's clock for each slot.

    When Redis is down this replica spends `max_tps` divided by the last known number of replicas, in process.
    The first such slot begins `horizon_seconds` after Redis last answered, because slots it handed out may be
    used until then. When Redis is back its first slots come after those handed out here, and for 10 s the
    rate is reduced by the replicas that have not come back yet. A replica that starts while Redis is down
    knows of no other and spends the whole budget. Lists made ahead wait until Redis is back.

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
        self._reserve = connection.script("reserve")
        self._throttled = connection.script("throttled")
        self._schedule = SlotSchedule(max_tps)
        self._local_slots_until = float("-inf")
        self._reserved_at = float("-inf")
        self._seen_rate, self._seen_at = max_tps, float("-inf")
        connection.on_change(self._on_change)
        if not connection.up:
            self._on_change(up=False)

    async def reserve(self, lane: Lane, within_seconds: float) -> Reservation:
        """See `TpsGovernor.reserve`; one round trip, or none while Redis is down."""
        within_seconds = min(within_seconds, self._horizon_seconds)
        try:
            return await self._reserve_shared(lane, within_seconds)
        except SharedStateUnavailable:
            return self._reserve_local(lane, within_seconds)

    async def throttled(self) -> None:
        """Halve the rate of all replicas, at most once a second; without Redis, only this one's."""
        self._schedule.throttled(self._clock.monotonic())
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
            return self._schedule.rate(now)
        # Nobody asks while nothing is needed, but the rate climbs all the same.
        return min(self._max_tps, self._seen_rate + self._max_tps * (now - self._seen_at) / CLIMB_SECONDS)

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots: of all replicas, or of this one while Redis is down."""
        return 1.0 / self.tps_in_use

    async def _reserve_shared(self, lane: Lane, within_seconds: float) -> Reservation:
        connection, now = self._connection, self._clock.monotonic()
        horizon = self._horizon_seconds
        lost_at = connection.memory_lost_at
        seen_recently = now - self._reserved_at < horizon or (lost_at is not None and now - lost_at < horizon)
        async with connection.use():
            reply: Any = await self._reserve(
                keys=[connection.budget_key, connection.replicas_key, connection.heartbeats_key],
                args=[
                    self._max_tps,
                    int(lane),
                    _microseconds(within_seconds),
                    _microseconds(self._local_slots_until - now) if self._local_slots_until > now else 0,
                    connection.expected_replicas,
                    int(seen_recently),
                    _microseconds(horizon),
                    connection.replica,
                    int(connection.registered),
                ],
            )
        granted, wait_us, rate = (int(part) for part in reply)
        self._saw_rate(rate / _MICROSECONDS)
        if granted:
            self._reserved_at = self._clock.monotonic()
            if not connection.up:
                # Somebody else's command failed meanwhile; this slot is given away all the same.
                self._schedule.hold_until(self._reserved_at + horizon)
        return Reservation(bool(granted), wait_us / _MICROSECONDS)

    def _reserve_local(self, lane: Lane, within_seconds: float) -> Reservation:
        if lane is Lane.AHEAD:
            return Reservation(granted=False, wait_seconds=HEARTBEAT_SECONDS)
        reservation = self._schedule.reserve(lane, within_seconds, self._clock.monotonic())
        if reservation.granted:
            self._local_slots_until = self._schedule.next_free
        return reservation

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if up:
            self._saw_rate(self._schedule.rate(self._clock.monotonic()))
            return
        connection = self._connection
        replicas = connection.replicas
        self._schedule.limit(self._max_tps / replicas)
        if connection.last_reply_at is not None:
            # Replicas lose Redis together: each begins at its own place within the interval, not all at once.
            offset = connection.position % replicas / self._max_tps
            self._schedule.hold_until(connection.last_reply_at + self._horizon_seconds + offset)

    def _saw_rate(self, rate: float) -> None:
        self._seen_rate, self._seen_at = rate, self._clock.monotonic()


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
