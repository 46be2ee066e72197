"""What a soak says of a replica that does not come to rest."""

import pytest

from bench.soak import verdict

CALM = {
    "resident_mib": 150.0,
    "descriptors": 30.0,
    "flights_open": 2.0,
    "event_loop_tasks": 20.0,
    "keys": 900.0,
    "lasting_keys": 7.0,
    "bad": 0.0,
}


def test_a_replica_at_rest_is_well() -> None:
    warming = [{**CALM, "resident_mib": 50.0 + number} for number in range(10)]
    assert verdict([*warming, *[CALM] * 20]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resident_mib", 170.0),
        ("descriptors", 80.0),
        ("flights_open", 40.0),
        ("event_loop_tasks", 60.0),
        ("keys", 1_000.0),
        ("lasting_keys", 8.0),
        ("bad", 1.0),
    ],
)
def test_whatever_grows_in_the_last_third_is_named(name: str, value: float) -> None:
    [line] = verdict([*[CALM] * 29, {**CALM, name: value}])
    assert f"{value:g}" in line


def test_without_marks_nothing_is_well() -> None:
    assert verdict([CALM]) != []
