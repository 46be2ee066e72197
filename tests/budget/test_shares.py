"""Points of replicas that cannot ask each other: all of them together are one schedule."""

from itertools import pairwise

import pytest

from service.budget.ports import Lane
from service.budget.schedule import LEAD_SECONDS
from service.budget.shares import KEPT_BACK_SHARE, Moment, ShareSchedule
from service.fleet.share import Share

TPS = 12.0
REPLICAS = 3
LONG_AGO = float("-inf")


def points(
    share: Share, *, count: int, whole_from: float = LONG_AGO, skew: float = 0.0, at: float = 50.0
) -> list[float]:
    """When the next slots of a replica begin, in seconds of the clock that is shared; its own is `skew` behind."""
    schedule = ShareSchedule(TPS)
    now, found = at, []
    for _ in range(count):
        reservation = schedule.reserve(share, Lane.NO_LIST, 100.0, Moment(now + skew, now), whole_from)
        assert reservation.granted == 1
        now += reservation.wait_seconds
        found.append(now + skew)
    return found


def of_all(count: int, *, whole_from: float = LONG_AGO) -> list[float]:
    skews = (1_000.0, 0.0, -20.3)
    whole = [whole_from - skew if whole_from > 0 else whole_from for skew in skews]
    return sorted(
        one
        for position, skew in enumerate(skews)
        for one in points(
            Share(REPLICAS, position), count=count, whole_from=whole[position], skew=skew, at=2_000.0 - skew
        )
    )


def gaps(found: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(found)]


def test_all_replicas_together_spend_the_rate_evenly_whatever_their_own_clocks_say() -> None:
    assert gaps(of_all(5)) == pytest.approx([1 / TPS] * 14)


def test_in_doubt_they_spend_a_quarter_of_it_evenly() -> None:
    assert gaps(of_all(5, whole_from=9_000.0)) == pytest.approx([4 / TPS] * 14)


def test_from_the_moment_on_they_have_their_whole_shares() -> None:
    found = of_all(8, whole_from=2_001.5)
    before = [one for one in found if one < 2_001.5]
    after = [one for one in found if one >= 2_001.5]
    assert gaps(before) == pytest.approx([4 / TPS] * (len(before) - 1))
    assert len(before) in (4, 5)
    assert gaps(after)[:8] == pytest.approx([1 / TPS] * 8)
    assert after[0] <= 2_001.5 + 1 / TPS + 1e-9


def test_a_share_that_is_not_yet_whole_waits_and_has_a_quarter_for_good() -> None:
    found = points(Share(REPLICAS, 1, whole=False), count=4, whole_from=60.0)
    assert 60.0 <= found[0] < 60.0 + 4 * REPLICAS / TPS
    assert gaps(found) == pytest.approx([4 * REPLICAS / TPS] * 3)


@pytest.mark.parametrize(
    ("share", "now", "part"),
    [
        (Share(REPLICAS, 0), 60.0, 1.0),
        (Share(REPLICAS, 0), 59.9, KEPT_BACK_SHARE),
        (Share(REPLICAS, 0, whole=False), 60.0, KEPT_BACK_SHARE),
        (Share(1, 0), 61.0, 1.0),
    ],
)
def test_its_rate_is_that_of_its_points(share: Share, now: float, part: float) -> None:
    schedule = ShareSchedule(TPS)
    moment = Moment(now, now)
    assert schedule.rate(share, moment, 60.0) == pytest.approx(TPS * part / share.replicas)
    reservation = schedule.reserve(share, Lane.NO_LIST, 100.0, moment, 60.0)
    assert reservation.apart_seconds == pytest.approx(1 / schedule.rate(share, moment, 60.0))
    schedule.throttle.throttled(now)
    assert schedule.rate(share, moment, 60.0) == pytest.approx(TPS * part / share.replicas / 2)


def test_after_a_refusal_for_the_rate_its_points_are_twice_as_far_apart() -> None:
    schedule, share = ShareSchedule(TPS), Share(REPLICAS, 2)
    now = Moment(50.0, 50.0)
    first = 50.0 + schedule.reserve(share, Lane.NO_LIST, 100.0, now, LONG_AGO).wait_seconds
    schedule.throttle.throttled(50.0)
    second = 50.0 + schedule.reserve(share, Lane.NO_LIST, 100.0, now, LONG_AGO).wait_seconds
    assert second - first == pytest.approx(2 * REPLICAS / TPS)


def test_a_refused_point_is_there_for_the_next_who_waits_and_lower_lanes_wait_no_longer_than_the_lead() -> None:
    schedule, share = ShareSchedule(TPS), Share(REPLICAS, 0)
    # A point of this replica's is 50.0.
    early = Moment(50.0 - 2 * LEAD_SECONDS, 50.0 - 2 * LEAD_SECONDS)
    refused = schedule.reserve(share, Lane.STALE, 100.0, early, LONG_AGO)
    assert refused.granted == 0
    assert refused.wait_seconds == pytest.approx(2 * LEAD_SECONDS)
    assert schedule.reserve(share, Lane.NO_LIST, LEAD_SECONDS, early, LONG_AGO).granted == 0
    in_time = Moment(50.0 - LEAD_SECONDS / 2, 50.0 - LEAD_SECONDS / 2)
    assert schedule.reserve(share, Lane.STALE, 100.0, in_time, LONG_AGO).granted == 1
    following = schedule.reserve(share, Lane.NO_LIST, 100.0, in_time, LONG_AGO)
    assert following.wait_seconds == pytest.approx(LEAD_SECONDS / 2 + REPLICAS / TPS)
