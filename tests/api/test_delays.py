"""How long refusals wait: twenty a second do not, the others evenly between half a second and one and a half."""

import asyncio
from collections.abc import Iterator

import pytest

from service.api.delays import MAX_DELAYED, UNDELAYED, Delays, WrongCredentials
from tests.support.clocks import StandingClock
from tests.support.virtual_time import run_virtual


def seconds_of(clock: StandingClock, delays: Delays, count: int) -> Iterator[float]:
    del clock
    for _ in range(count):
        yield delays.seconds()


def test_twenty_a_second_are_sent_at_once() -> None:
    clock = StandingClock()
    delays = Delays(clock.monotonic)
    at_once = []
    for now in (0.0, 0.5, 1.5, 101.5):
        clock.now = now
        at_once.append(sum(one == 0 for one in seconds_of(clock, delays, 3 * UNDELAYED)))
    assert at_once == [20, 10, 20, 20]


@pytest.mark.parametrize("count", [3, 8, 21, 55])
def test_those_beyond_are_spread_over_a_second_without_a_gap(count: int) -> None:
    clock = StandingClock()
    delays = Delays(clock.monotonic)
    list(seconds_of(clock, delays, UNDELAYED))
    waits = sorted(seconds_of(clock, delays, count))
    assert waits[0] >= 0.5
    assert waits[-1] < 1.5
    gaps = [after - before for before, after in zip([0.5, *waits], [*waits, 1.5], strict=True)]
    # Evenly: no gap is much more than twice what it would be at best.
    assert max(gaps) < 2.7 / (count + 1)
    assert min(gaps) > 0.2 / (count + 1)


def test_so_many_wait_at_a_time_and_the_rest_goes_at_once() -> None:
    async def scenario() -> None:
        wrong = WrongCredentials()
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def wait() -> float:
            await wrong.wait()
            return loop.time() - began

        waits = await asyncio.gather(*(wait() for _ in range(UNDELAYED + MAX_DELAYED + 30)))
        assert sum(one > 0 for one in waits) == MAX_DELAYED
        # When they have gone, as many others may wait.
        again = await asyncio.gather(*(wait() for _ in range(UNDELAYED + MAX_DELAYED + 30)))
        assert sum(one > max(waits) for one in again) == MAX_DELAYED

    run_virtual(scenario())
