"""What the local Personalize has counted, for the tests and benchmarks that ask about transactions."""

from collections import deque
from typing import Any

_MAX_KEPT = 200_000
"""Arrivals and users kept, about 40 MB of both; the plain counts go on beyond it."""


class CallStats:
    """Counts since the start or the last reset, in bounded memory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over at zero."""
        self._transactions = 0
        self._throttled = 0
        self._refused = 0
        self._by_user: dict[str, int] = {}
        self._arrivals: deque[float] = deque(maxlen=_MAX_KEPT)
        self._without_user: deque[float] = deque(maxlen=_MAX_KEPT)
        self._signed: dict[str, int] = {}

    def count_signed(self, signed_at: str) -> None:
        """A valid call, accepted or not, by the second in which its sender signed it: when it left, to a second."""
        if signed_at in self._signed or len(self._signed) < _MAX_KEPT:
            self._signed[signed_at] = self._signed.get(signed_at, 0) + 1

    def count_transaction(self, user_id: str | None, *, arrived_at: float) -> None:
        """An accepted call, of a user if it names one."""
        self._transactions += 1
        self._arrivals.append(arrived_at)
        if user_id is None:
            self._without_user.append(arrived_at)
        elif user_id in self._by_user or len(self._by_user) < _MAX_KEPT:
            self._by_user[user_id] = self._by_user.get(user_id, 0) + 1

    def count_throttled(self, *, arrived_at: float) -> None:
        """A valid call over the TPS."""
        self._throttled += 1
        self._arrivals.append(arrived_at)

    def count_refused(self) -> None:
        """A call that was unsigned or invalid; it costs no transaction."""
        self._refused += 1

    def snapshot(self) -> dict[str, Any]:
        """The counts as `GET /_stats` gives them; arrivals in epoch seconds, the oldest first."""
        return {
            "transactions": self._transactions,
            "throttled": self._throttled,
            "refused": self._refused,
            "by_user": self._by_user,
            "arrivals": list(self._arrivals),
            "arrivals_without_user": list(self._without_user),
            "signed": self._signed,
        }
