"""The budget that all replicas share through Redis, and this replica's share of it when Redis is away."""

from pathlib import Path
from typing import Any, Final

from service.budget.ports import Lane, Reservation
from service.budget.schedule import CLIMB_SECONDS
from service.budget.shares import ShareSchedule
from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeat
from service.spans import span

_HERE: Final = Path(__file__).parent

_MICROSECONDS: Final = 1_000_000

_TOO_LATE: Final = -1
_UNKNOWN_REPLICA: Final = -2

UNHEARD_SECONDS: Final = 2 * HEARTBEAT_SECONDS
"""After the last slot that Redis may have given it, a replica waits this long before it spends its whole share. One
beat may be lost without that."""


class RedisGovernor:
    """One atomic reservation on Redis's clock for each slot; a schedule of the replica's own when Redis is away.

    Each replica has a share of the budget, and all shares together are never more than one. A replica that loses Redis
    spends its whole share from `horizon_seconds` + 1 s after Redis can last have heard from it; by then Redis, should
    others still reach it, has stopped handing that share out. Until then it spends the quarter that is kept back of
    every share. So all replicas together never spend more than 1.25 x `max_tps`, whichever of them lose Redis, in
    whatever order and for how long. That holds as long as no replica is cut off for more than 20 s from a Redis that
    others reach.

    A replica that starts while Redis is down knows no other, and takes the share that it was configured for.
    `Lane.PREWARM` gets no slot until Redis is back.

    Args:
        max_tps: `PERSONALIZE_TPS`, for all replicas together.
        client: Open.
        heartbeat: Open; its group decides who shares the budget.
        clock: Its monotonic time carries the slots while Redis is down.
        horizon_seconds: The request's deadline: how long before its beginning a caller may reserve a slot.
    """

    def __init__(
        self, max_tps: float, *, client: RedisClient, heartbeat: Heartbeat, clock: Clock, horizon_seconds: float
    ) -> None:
        self._max_tps = max_tps
        self._client = client
        self._heartbeat = heartbeat
        self._clock = clock
        self._horizon_seconds = horizon_seconds
        self.budget_key = heartbeat.key("budget")
        """Hash of the next free slot and the rate in use."""
        self._reserve = client.script(_HERE / "reserve.lua")
        self._throttled = client.script(_HERE / "throttled.lua")
        self._share_schedule = ShareSchedule(max_tps)
        self._reserved_at = float("-inf")
        self._seen_rate, self._seen_at = max_tps, float("-inf")
        client.on_change(self._on_change)

    async def reserve(self, lane: Lane, within_seconds: float) -> Reservation:
        """See `TpsGovernor.reserve`; one round trip, or none while Redis is down."""
        within_seconds = min(within_seconds, self._horizon_seconds)
        with span("redis reserve"):
            try:
                return await self._reserve_shared(lane, within_seconds)
            except SharedStateUnavailable:
                return self._reserve_own(lane, within_seconds)

    async def throttled(self) -> None:
        """Halve the rate of all replicas, at most once a second; without Redis, only this one's."""
        self._share_schedule.throttle.throttled(self._heartbeat.shared_clock.time())
        try:
            async with self._client.use():
                share: Any = await self._throttled(keys=[self.budget_key])
        except SharedStateUnavailable:
            return
        self._saw_rate(self._max_tps * int(share) / _MICROSECONDS)

    @property
    def tps_in_use(self) -> float:
        """The rate of all replicas as last heard; this replica's own while Redis is down."""
        now = self._clock.monotonic()
        if not self._client.up:
            return self._own_rate()
        # A replica that needs no slot hears nothing, but the rate climbs all the same.
        return min(self._max_tps, self._seen_rate + self._max_tps * (now - self._seen_at) / CLIMB_SECONDS)

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots: of all replicas, or of this one while Redis is down."""
        return 1.0 / self.tps_in_use

    async def _reserve_shared(self, lane: Lane, within_seconds: float) -> Reservation:
        granted, wait_us, rate = await self._ask(lane, within_seconds)
        if granted == _UNKNOWN_REPLICA:
            await self._heartbeat.beat()
            granted, wait_us, rate = await self._ask(lane, within_seconds)
        if granted == _TOO_LATE:
            raise self._heartbeat.came_late(wait_us)
        if granted == _UNKNOWN_REPLICA:
            raise SharedStateUnavailable("Redis forgets this replica")
        self._saw_rate(rate / _MICROSECONDS)
        if granted:
            self._reserved_at = self._clock.monotonic()
        return Reservation(bool(granted), wait_us / _MICROSECONDS)

    async def _ask(self, lane: Lane, within_seconds: float) -> tuple[int, int, int]:
        heartbeat, now = self._heartbeat, self._clock.monotonic()
        horizon = self._horizon_seconds
        lost_at = heartbeat.memory_lost_at
        seen_recently = now - self._reserved_at < horizon or (lost_at is not None and now - lost_at < horizon)
        async with self._client.use():
            reply: Any = await self._reserve(
                keys=[self.budget_key, heartbeat.beats_key, heartbeat.shares_key],
                args=[
                    self._max_tps,
                    int(lane),
                    _microseconds(within_seconds),
                    heartbeat.stamp(),
                    int(seen_recently),
                    _microseconds(horizon),
                    _microseconds(self._quiet_seconds),
                    heartbeat.replica,
                    int(heartbeat.registered),
                    int(heartbeat.serves),
                ],
            )
        granted, wait_us, rate = (int(part) for part in reply)
        return granted, wait_us, rate

    def _reserve_own(self, lane: Lane, within_seconds: float) -> Reservation:
        heartbeat = self._heartbeat
        if lane is Lane.PREWARM or heartbeat.share is None:
            return Reservation(granted=False, wait_seconds=HEARTBEAT_SECONDS)
        now, whole_from = heartbeat.shared_clock.time(), self._whole_from()
        reservation = self._share_schedule.reserve(heartbeat.share, lane, within_seconds, now, whole_from)
        if reservation.granted and now + reservation.wait_seconds >= whole_from:
            begins = self._clock.monotonic() + reservation.wait_seconds
            heartbeat.own_share_until = max(heartbeat.own_share_until, begins)
        return reservation

    def _own_rate(self) -> float:
        share = self._heartbeat.share
        if share is None:
            return self._max_tps
        return self._share_schedule.rate(share, self._heartbeat.shared_clock.time(), self._whole_from())

    def _whole_from(self) -> float:
        """When this replica may spend its whole share, on the shared clock."""
        since = self._heartbeat.heard_until + self._quiet_seconds
        return self._heartbeat.shared_clock.time() + since - self._clock.monotonic()

    @property
    def _quiet_seconds(self) -> float:
        return self._horizon_seconds + UNHEARD_SECONDS

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if up:
            self._saw_rate(self._max_tps * self._share_schedule.throttle.share(self._heartbeat.shared_clock.time()))

    def _saw_rate(self, rate: float) -> None:
        self._seen_rate, self._seen_at = rate, self._clock.monotonic()


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
