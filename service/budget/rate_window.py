"""What a second holds: when transactions began, and how late one may begin."""

from collections import deque
from typing import Final

SECOND: Final = 1.0 + 1e-6
"""Two transactions that begin this far apart are not in one closed second, whatever floats do."""

MAX_LATE_SECONDS: Final = 0.02
"""A slot is used at most this late, or half a slot if that is longer; a later one is lost. Slots are spaced a fiftieth
wider than the TPS wants. So slots used this late do not put more than TPS + 1 of them into a second."""


class RateWindow:
    """When the last transactions began. Pure: callers pass the time."""

    __slots__ = ("_last", "_most")

    def __init__(self) -> None:
        self._most = 1
        self._last: deque[float] = deque(maxlen=self._most)

    def crowded_seconds(self, slot_seconds: float, now: float) -> float:
        """How long until one more transaction keeps every second at TPS + 1; slots used late crowd the next ones."""
        most = int(1.0 / slot_seconds + 1e-6) + 1
        if most > self._most:
            self._most, self._last = most, deque(self._last, maxlen=most)
        if len(self._last) < self._most:
            return 0.0
        return max(0.0, self._last[0] + SECOND - now)

    def add(self, now: float) -> None:
        """A transaction begins."""
        self._last.append(now)

    def withdraw(self) -> None:
        """The last transaction did not begin after all."""
        if self._last:
            self._last.pop()


def is_late(seconds: float, slot_seconds: float) -> bool:
    """Whether a slot that began so long ago is lost."""
    return seconds > max(slot_seconds / 2, MAX_LATE_SECONDS)
