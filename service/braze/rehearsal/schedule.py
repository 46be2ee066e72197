"""When the messages of a send are due."""

from typing import Final

MINUTE_SECONDS: Final = 60.0


class Schedule:
    """Braze keeps a rate per minute, and not an even one: each minute's messages come in its first part.

    Args:
        per_minute: Messages in a minute; above zero.
        peak: The rate of that part, in times of the average; at least 1.
    """

    def __init__(self, per_minute: float, peak: float = 1.0) -> None:
        self._per_minute = per_minute
        self._apart = MINUTE_SECONDS / (per_minute * peak)

    def due(self, number: int) -> float:
        """Seconds after the beginning at which the message of this number, from 0, is due."""
        minute = int(number // self._per_minute)
        return minute * MINUTE_SECONDS + (number - minute * self._per_minute) * self._apart
