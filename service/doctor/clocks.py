"""Whether this machine's clock is that of AWS and of Redis."""

from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from service.doctor.findings import Finding, error, ok, seconds_in_words, warning

MAX_SKEW_SECONDS: Final = 240.0
"""AWS refuses a signature that is five minutes off; a minute is kept for a clock that runs on.

Source: https://docs.aws.amazon.com/general/latest/gr/sigv4_troubleshooting.html"""

USUAL_SKEW_SECONDS: Final = 5.0
"""Less is what networks and whole seconds make."""

_SET_IT: Final = "let chrony or another NTP client set it"


class ClockComparison:
    """Compares this machine's clock with others, as they are met.

    Args:
        now: This machine's Unix time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._skew: dict[str, float] = {}

    def saw(self, whose: str, their_time: float) -> None:
        """Another clock shows this Unix time now; the smallest difference counts, since answers come late."""
        skew = self._now() - their_time
        before = self._skew.get(whose)
        if before is None or abs(skew) < abs(before):
            self._skew[whose] = skew

    def saw_answer(self, answer: Mapping[str, Any]) -> None:
        """AWS has answered; its header `Date` shows its clock, to the second."""
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        try:
            self.saw("AWS", parsedate_to_datetime(headers["date"]).timestamp())
        except (KeyError, TypeError, ValueError):
            return

    def findings(self) -> Iterator[Finding]:
        """One for each clock that was met."""
        for whose, skew in self._skew.items():
            side = "fast" if skew > 0 else "slow"
            what = f"this machine's clock is {seconds_in_words(skew)} {side} by that of {whose}"
            if abs(skew) <= USUAL_SKEW_SECONDS:
                yield ok("clock", f"agrees with that of {whose}")
            elif abs(skew) <= MAX_SKEW_SECONDS:
                yield warning("clock", what, f"{_SET_IT}, before it is five minutes")
            elif whose == "AWS":
                yield error(
                    "clock", f"{what}, which refuses what is signed with more than 5 minutes between them", _SET_IT
                )
            else:
                yield error("clock", f"{what}, so lists are fresh or stale at the wrong time", _SET_IT)
