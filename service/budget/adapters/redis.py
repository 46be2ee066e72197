"""The budget that all replicas share through Redis, and this replica's share of it when Redis is away."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from service.budget.ports import Lane, Reservation
from service.budget.rate_window import MAX_LATE_SECONDS
from service.budget.schedule import CLIMB_SECONDS, LEAD_SECONDS
from service.budget.shares import Moment, ShareSchedule
from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import HEARTBEAT_SECONDS, Heartbeat
from service.spans import span

_HERE: Final = Path(__file__).parent

_log = structlog.stdlib.get_logger(__name__)

_MICROSECONDS: Final = 1_000_000

_TOO_LATE: Final = -1
_UNKNOWN_REPLICA: Final = -2

MAX_ASKS: Final = 3
"""Questions for one reservation: Redis may forget the replica, and its clock may be set, while it is asked."""

SLOW_SECONDS: Final = 1.0
"""How long one answer that took long says that the next ones do."""

UNHEARD_SECONDS: Final = 2 * HEARTBEAT_SECONDS
"""After the last slot that Redis may have given it, a replica waits this long before it spends its whole share. One
beat may be lost without that."""


@dataclass(frozen=True, slots=True)
class _LatestSlot:
    """The latest slot that Redis gave this replica."""

    point: int
    """When it begins, in microseconds, by Redis's clock as it was then."""

    begins: float
    """The same moment on the monotonic clock."""

    heard_at: float
    """Monotonic time at which Redis's answer came."""


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
        self.max_tps = max_tps
        self._client = client
        self._heartbeat = heartbeat
        self._clock = clock
        self._horizon_seconds = horizon_seconds
        self.budget_key = heartbeat.key("budget")
        """Hash of the next free slot and the rate in use."""
        self._reserve = client.script(_HERE / "reserve.lua", (int, bytes))
        self._throttled = client.script(_HERE / "throttled.lua", int)
        self._share_schedule = ShareSchedule(max_tps)
        self._reserved_at = float("-inf")
        self._latest: _LatestSlot | None = None
        self._seen_rate, self._seen_at = max_tps, float("-inf")
        self._slow_seconds, self._slow_at = 0.0, float("-inf")
        """What the last question took, if that was much longer than the way had been, and when."""
        client.on_change(self._on_change)

    async def reserve(self, lane: Lane, within_seconds: float, slots: int = 1) -> Reservation:
        """See `TpsGovernor.reserve`; one round trip, or none while Redis is down."""
        within_seconds = min(within_seconds, self._horizon_seconds if lane is Lane.NO_LIST else self.lead_seconds)
        with span("redis reserve"):
            try:
                return await self._reserve_shared(lane, within_seconds, slots)
            except SharedStateUnavailable:
                return self._reserve_own(lane, within_seconds)

    async def throttled(self) -> None:
        """Halve the rate of all replicas, at most once a second; without Redis, only this one's."""
        self._share_schedule.throttle.throttled(self._clock.monotonic())
        try:
            async with self._client.use():
                share: Any = await self._throttled(keys=[self.budget_key])
        except SharedStateUnavailable:
            return
        self._saw_rate(self.max_tps * int(share) / _MICROSECONDS)

    @property
    def tps_in_use(self) -> float:
        """The rate of all replicas as last heard; this replica's own while Redis is down."""
        now = self._clock.monotonic()
        if not self._client.up:
            return self._own_rate()
        # A replica that needs no slot hears nothing, but the rate climbs all the same.
        return min(self.max_tps, self._seen_rate + self.max_tps * (now - self._seen_at) / CLIMB_SECONDS)

    @property
    def slot_seconds(self) -> float:
        """Seconds between two slots: of all replicas, or of this one while Redis is down."""
        return 1.0 / self.tps_in_use

    @property
    def lead_seconds(self) -> float:
        """How long before its beginning a lower lane may reserve a slot: two round trips, and a little more."""
        return LEAD_SECONDS + 2 * self._round_trip_seconds

    @property
    def _round_trip_seconds(self) -> float:
        usual = self._usual_round_trip_seconds
        return max(usual, self._slow_seconds) if self._clock.monotonic() - self._slow_at < SLOW_SECONDS else usual

    @property
    def _usual_round_trip_seconds(self) -> float:
        """That of the best comparison of the clocks."""
        return min(2 * self._heartbeat.shared_clock.error_seconds, self._client.timeout_seconds)

    def _note_way(self, seconds: float) -> None:
        # Else every slot would be late from a Redis that has become slower, until the clocks are compared anew.
        is_slow = seconds > self._usual_round_trip_seconds + MAX_LATE_SECONDS
        self._slow_seconds = min(seconds, self._client.timeout_seconds) if is_slow else 0.0
        self._slow_at = self._clock.monotonic()

    async def _reserve_shared(self, lane: Lane, within_seconds: float, slots: int) -> Reservation:
        heartbeat, clock = self._heartbeat, self._heartbeat.shared_clock
        for attempt in range(MAX_ASKS):
            await heartbeat.follow_clock()
            sent_at = self._clock.monotonic()
            granted, redis_time, *more = await self._ask(lane, within_seconds, slots)
            if granted == _TOO_LATE:
                clock.distrust()
            else:
                self._note_way(self._clock.monotonic() - sent_at)
            heartbeat.compare(redis_time, sent_at)
            if granted == _UNKNOWN_REPLICA:
                await heartbeat.beat()
            elif granted == _TOO_LATE:
                if attempt:
                    raise heartbeat.came_late(redis_time)
            # What was granted while the clock was being set may be granted twice. It is left to nobody.
            elif sent_at >= clock.set_at:
                break
        else:
            raise SharedStateUnavailable("Redis forgets this replica, or its clock is set again and again")
        # Where Redis says no, it says no more than that.
        wait_us, interval_us, rate, odd = more
        if odd:
            _log.warning("redis_reservation_not_believed")
        self._saw_rate(rate / _MICROSECONDS)
        if not granted:
            return Reservation(0, wait_us / _MICROSECONDS, interval_us / _MICROSECONDS)
        wait_seconds = (redis_time + wait_us) / _MICROSECONDS - clock.time()
        reservation = Reservation(granted, wait_seconds, interval_us / _MICROSECONDS)
        self._reserved_at = self._clock.monotonic()
        self._note_latest(redis_time + wait_us + (granted - 1) * interval_us)
        return reservation

    def _note_latest(self, point: int) -> None:
        now, latest = self._clock.monotonic(), self._latest_point()
        if point > latest:
            begins = now + point / _MICROSECONDS - self._heartbeat.shared_clock.time()
            self._latest = _LatestSlot(point, begins, heard_at=now)

    def _latest_point(self) -> int:
        """When the latest slot begins that Redis gave this replica, in microseconds on Redis's clock; 0 for none.

        The very number that Redis had: a way of milliseconds must not move what begins after it.
        """
        latest, clock = self._latest, self._heartbeat.shared_clock
        if latest is None:
            return 0
        if latest.heard_at >= clock.set_at:
            return latest.point
        return _microseconds(clock.time() + latest.begins - self._clock.monotonic())

    async def _ask(self, lane: Lane, within_seconds: float, slots: int) -> list[int]:
        heartbeat, now = self._heartbeat, self._clock.monotonic()
        horizon = self._horizon_seconds
        lost_at = heartbeat.memory_loss.at
        seen_recently = now - self._reserved_at < horizon or (lost_at is not None and now - lost_at < horizon)
        after = self._round_trip_seconds / 2
        async with self._client.use():
            reply: Any = await self._reserve(
                keys=[self.budget_key, heartbeat.beats_key, heartbeat.shares_key],
                args=[
                    self.max_tps,
                    int(lane),
                    slots,
                    _microseconds(after),
                    _microseconds(within_seconds),
                    heartbeat.stamp(),
                    _microseconds(heartbeat.patience_seconds),
                    self._latest_point(),
                    int(seen_recently),
                    _microseconds(horizon),
                    _microseconds(self._quiet_seconds),
                    heartbeat.replica,
                    int(heartbeat.registered),
                    int(heartbeat.serves),
                ],
            )
        return [int(part) for part in reply]

    def _reserve_own(self, lane: Lane, within_seconds: float) -> Reservation:
        heartbeat = self._heartbeat
        if lane is Lane.PREWARM or heartbeat.share is None:
            return Reservation(granted=0, wait_seconds=HEARTBEAT_SECONDS)
        now, whole_from = self._moment(), self._whole_from
        reservation = self._share_schedule.reserve(heartbeat.share, lane, within_seconds, now, whole_from)
        begins = now.monotonic + reservation.wait_seconds
        if reservation.granted and begins >= whole_from:
            heartbeat.own_share_until = max(heartbeat.own_share_until, begins)
        return reservation

    def _own_rate(self) -> float:
        share = self._heartbeat.share
        if share is None:
            return self.max_tps
        return self._share_schedule.rate(share, self._moment(), self._whole_from)

    def _moment(self) -> Moment:
        return Moment(shared=self._heartbeat.shared_clock.time(), monotonic=self._clock.monotonic())

    @property
    def _whole_from(self) -> float:
        """When this replica may spend its whole share, monotonic."""
        return self._heartbeat.heard_until + self._quiet_seconds

    @property
    def _quiet_seconds(self) -> float:
        return self._horizon_seconds + UNHEARD_SECONDS

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - the listener's signature
        if up:
            self._saw_rate(self.max_tps * self._share_schedule.throttle.share(self._clock.monotonic()))

    def _saw_rate(self, rate: float) -> None:
        self._seen_rate, self._seen_at = rate, self._clock.monotonic()


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
