"""What is said of a day that does not come to rest; `python -m tests.simulation --day` plays one."""

from dataclasses import replace

import pytest

from tests.simulation.day import DAY, Mark, plan_of_a_day, unrest

CALM = Mark(hour=1.0, tasks=22, timers=15, keys=500, lasting=2)


def test_a_day_at_rest_is_well() -> None:
    busy = replace(CALM, tasks=90, timers=60, keys=3_500)
    assert unrest([CALM, CALM, busy, CALM, replace(CALM, lasting=6)]) == []


@pytest.mark.parametrize(("name", "value"), [("tasks", 23), ("timers", 16), ("keys", 509), ("lasting", 11)])
def test_what_is_left_in_the_evening_is_named(name: str, value: int) -> None:
    [line] = unrest([CALM, CALM, CALM, replace(CALM, **{name: value})])
    assert line.startswith(f"{name}: ")
    assert line.endswith(f"{value} in the end")


def test_a_day_has_three_sends_and_what_people_and_operators_do() -> None:
    happenings = plan_of_a_day(1).happenings
    assert sum(one.seconds == 600.0 for one in happenings) == 3
    assert {"forget", "buy", "block", "older", "throttles", "kill"} < {one.what for one in happenings}
    assert all(0 <= one.at < DAY for one in happenings)
