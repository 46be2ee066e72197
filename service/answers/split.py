"""Which arm of an experiment a user is in: a stable hash, and shares that grow without moving anybody else.

The users lie on a circle of `BUCKETS` buckets. Each arm has an anchor of its own and takes buckets from there in one
direction, passing over those that are taken. The remaining buckets are the placement's own. So an arm that grows takes
users from the placement only, and one that shrinks gives them back, as long as two arms do not meet.

    | first ──►            ◄── fourth | third ──►                 ◄── second |
    0                                 1/2                                    1
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

BUCKETS: Final = 10_000
"""A bucket is a hundredth of a percent of the users."""


class Split:
    """Divides users between arms.

    Args:
        seed: Splits of other seeds are independent: the placement's name.
        shares: Of each arm, 0..1, in the operator's order; together at most 1.
    """

    def __init__(self, seed: str, shares: Sequence[float]) -> None:
        self._key = blake2b(seed.encode(), digest_size=32).digest()
        self._arm_of = bytes(_buckets(shares)) if shares else b""

    def arm_of(self, user_id: str) -> int | None:
        """The place of the user's arm among the shares; None for the placement's own."""
        if not self._arm_of:
            return None
        digest = blake2b(user_id.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).digest()
        arm = self._arm_of[int.from_bytes(digest, "big") % BUCKETS]
        return None if arm == _NO_ARM else arm


_NO_ARM: Final = 255


def _buckets(shares: Sequence[float]) -> list[int]:
    arms = [_NO_ARM] * BUCKETS
    free = BUCKETS
    for number, share in enumerate(shares):
        wanted = min(round(share * BUCKETS), free)
        free -= wanted
        at, step = _anchor(number)
        while wanted:
            if arms[at] == _NO_ARM:
                arms[at] = number
                wanted -= 1
            at = (at + step) % BUCKETS
    return arms


def _anchor(number: int) -> tuple[int, int]:
    """Where an arm begins, and in which direction it grows: 0 up, 1 down, 1/2 up, 1/2 down, 1/4 up, ..."""
    place, step = number // 2, 1 if number % 2 == 0 else -1
    # Van der Corput's sequence: each next place halves the widest gap.
    position, denominator = 0.0, 1.0
    while place:
        denominator *= 2
        position += (place % 2) / denominator
        place //= 2
    at = round(position * BUCKETS) % BUCKETS
    return at if step > 0 else (at - 1) % BUCKETS, step
