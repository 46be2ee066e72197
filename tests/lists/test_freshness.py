"""What age a list may have, by the clock and by what its user did."""

from dataclasses import dataclass

import pytest

from service.lists.freshness import MAX_CLOCK_SKEW_SECONDS, SETTLING_SECONDS, Freshness
from service.lists.keys import UserPrefix
from tests.support.replica import KEYS, key_of

NOW = 1_000_000.0
ANN, BOB = key_of("ann"), key_of("bob")


@dataclass
class Changes:
    """When a user's list changed last; nothing is known of the others."""

    at: float | None

    def changed_at(self, user_prefix: UserPrefix) -> float | None:
        return self.at if user_prefix == KEYS.prefix("ann") else None

    async def learn(self, *_: object) -> None:
        """Nothing more is known."""


@pytest.mark.parametrize(
    ("age", "fresh"), [(0, True), (899, True), (900, False), (-2, True), (-2.1, False), (5_000, False)]
)
def test_by_the_clock_a_list_is_fresh_for_so_long_and_not_if_it_is_of_the_future(age: float, *, fresh: bool) -> None:
    freshness = Freshness(900, 5_000)
    assert freshness.fresh(NOW - age, NOW) == freshness.fresh(NOW - age, NOW, ANN) == fresh
    assert freshness.earliest(NOW, ANN) == NOW - 900
    assert freshness.latest(NOW) == NOW + MAX_CLOCK_SKEW_SECONDS
    assert Freshness(0.5, 5_000).latest(NOW) == NOW + 0.5


@pytest.mark.parametrize(("age", "usable"), [(0, True), (4_999, True), (5_000, False), (-60, True)])
def test_a_stale_list_is_of_use_for_so_long(age: float, *, usable: bool) -> None:
    assert Freshness(900, 5_000).usable(NOW - age, NOW) == usable


@pytest.mark.parametrize(
    ("changed", "made", "fresh"),
    [
        # A list of before the change is fresh until a new one would know of it.
        (1.0, 100.0, True),
        (1.0, 4_999.5, True),
        (SETTLING_SECONDS, 100.0, False),
        (60.0, 60.0, False),
        # One of after it lasts as long as any may be used.
        (60.0, 59.0, True),
        (1.0, 0.5, True),
        (9_000.0, 4_000.0, True),
        (9_000.0, 5_000.0, False),
        (60.0, -2.0, True),
        (60.0, -2.1, False),
    ],
)
def test_by_what_a_user_did_a_list_is_fresh_until_they_do_something(
    changed: float,
    made: float,
    *,
    fresh: bool,
) -> None:
    freshness = Freshness(900, 5_000, Changes(NOW - changed))
    assert freshness.fresh(NOW - made, NOW, ANN) == fresh
    # Of others nothing is known, so the clock decides, as it does without a key.
    by_clock = Freshness(900, 5_000).fresh(NOW - made, NOW)
    assert freshness.fresh(NOW - made, NOW, BOB) == freshness.fresh(NOW - made, NOW) == by_clock
