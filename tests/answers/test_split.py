"""Which arm of an experiment a user is in: the same in every version, and nobody is moved but for an arm that grows."""

from hashlib import blake2b

import pytest

from service.answers.split import BUCKETS, Split

USERS = [f"user{number}" for number in range(4_000)]


def bucket_of(user_id: str, seed: str) -> int:
    key = blake2b(seed.encode(), digest_size=32).digest()
    return int.from_bytes(blake2b(user_id.encode(), key=key, digest_size=8).digest(), "big") % BUCKETS


def test_arms_begin_where_they_always_did() -> None:
    """Otherwise an upgrade would move users in the middle of an experiment."""
    begins = [0, 9_900, 5_000, 4_900, 2_500, 2_400, 7_500, 7_400, 1_250, 1_150, 6_250]
    arm_at = {start + place: arm for arm, start in enumerate(begins) for place in range(100)}
    split = Split("a placement", [0.01] * len(begins))
    assert [split.arm_of(user) for user in USERS] == [arm_at.get(bucket_of(user, "a placement")) for user in USERS]


@pytest.mark.parametrize(
    "shares",
    [
        [1.0],
        [0.6, 0.4],
        [0.5, 0.2, 0.3],
        # Each is rounded up.
        [0.33335, 0.33335, 0.3333],
        [0.0, 1.0],
    ],
)
def test_shares_that_meet_pass_over_each_other_and_can_take_all_users(shares: list[float]) -> None:
    split = Split("a", shares)
    arms = [split.arm_of(user) for user in USERS]
    assert None not in arms
    assert [arms.count(arm) / len(arms) for arm in range(len(shares))] == pytest.approx(shares, abs=0.03)


def test_an_arm_that_grows_takes_users_from_the_placement_only() -> None:
    few, many = Split("a", [0.1, 0.1, 0.1]), Split("a", [0.3, 0.1, 0.1])
    moved = {(few.arm_of(user), many.arm_of(user)) for user in USERS}
    assert moved == {(None, None), (None, 0), (0, 0), (1, 1), (2, 2)}
    assert {Split("a", []).arm_of(user) for user in USERS[:9]} == {None}


def test_an_arm_that_begins_later_takes_no_user_from_the_one_that_grows_the_other_way() -> None:
    # The users on both sides of where the two begin.
    last, second = "user5425", "user1785"
    assert (bucket_of(last, "a"), bucket_of(second, "a")) == (BUCKETS - 1, 1)
    for share, arm in ((0.0, None), (0.0002, 0)):
        split = Split("a", [share, 0.0002])
        assert (split.arm_of(last), split.arm_of(second)) == (1, arm)
