"""When the lists of a prewarm are wanted, and whether that can be met."""

import datetime as dt

from service.clock import Clock
from service.sends.words import clock_time


class Deadline:
    """A moment, and what was last said about it.

    Args:
        by: The moment; None never comes.
        clock: Its Unix time is compared with the moment.
    """

    def __init__(self, by: dt.datetime | None, clock: Clock) -> None:
        self._by = by
        self._clock = clock
        self._in_time: bool | None = None
        self.missed = False
        """Whether the moment came while lists were missing."""

    def words(self, seconds: float) -> str:
        """The moment in so many seconds, in the zone of the deadline, else in that of this machine."""
        now = self._clock.time()
        zone = self._by.tzinfo if self._by is not None else None
        then, today = (dt.datetime.fromtimestamp(one, dt.UTC).astimezone(zone) for one in (now + seconds, now))
        return clock_time(then, today)

    def outlook(self, missing: int, per_second: float) -> str | None:
        """A sentence if the outlook has changed, else None.

        Args:
            missing: Lists still to fetch.
            per_second: At which rate.
        """
        if self._by is None:
            return None
        left_seconds = self._by.timestamp() - self._clock.time()
        if left_seconds <= 0:
            return self._passed(missing)
        before, self._in_time = self._in_time, missing <= per_second * left_seconds
        if self._in_time == before:
            return None
        by = self.words(left_seconds)
        if self._in_time:
            return f"in time for --by {by}" + (" again" if before is False else "")
        short = missing - int(per_second * left_seconds)
        return f"--by {by} cannot be met: about {short:,} lists will be missing then"

    def _passed(self, missing: int) -> str | None:
        if self.missed or not missing:
            return None
        self.missed = True
        return f"--by has come with {missing:,} lists missing; going on in slots that nobody else wants"
