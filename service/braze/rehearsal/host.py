"""How Braze treats the host that it calls: it keeps answers, and leaves a host that fails in peace for a minute."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from service.braze.ports import UNREACHABLE, Answer, Call

UNHEALTHY_FAILURES: Final = 3_000
UNHEALTHY_SHARE: Final = 0.9
UNHEALTHY_SECONDS: Final = 60.0
"""More failures than that in a minute, and a larger share of failures: no calls for a minute.

Source: braze.com/docs, Connected Content, Unhealthy host detection.
"""

FAILURES: Final = frozenset({408, 429, 502, 503, 504, 529, UNREACHABLE})
"""The statuses that count. 500 and 404 do not. Source: as above."""

MAX_KEPT_ANSWERS: Final = 50_000


class HostHealth:
    """Whether Braze would call the host now.

    Args:
        now: Seconds that never run backwards.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._closed_until = 0.0
        self.pauses = 0
        """How often Braze would have stopped calling."""

    def is_called(self) -> bool:
        """Whether calls go out."""
        return self._now() >= self._closed_until

    def add(self, status: int) -> None:
        """A call came back."""
        now, failed = self._now(), status in FAILURES
        self._calls.append((now, failed))
        self._failures += failed
        while self._calls[0][0] < now - UNHEALTHY_SECONDS:
            self._failures -= self._calls.popleft()[1]
        if self._failures > UNHEALTHY_FAILURES and self._failures > UNHEALTHY_SHARE * len(self._calls):
            self._closed_until = now + UNHEALTHY_SECONDS
            self.pauses += 1
            self._calls.clear()
            self._failures = 0


class KeptAnswers:
    """Answers to GET that Braze keeps by their URL, 300 seconds unless the tag says otherwise; only 2XX.

    Source: braze.com/docs, Connected Content, Caching responses.

    Args:
        now: Seconds that never run backwards.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: OrderedDict[tuple[str, str, str], tuple[float, Answer]] = OrderedDict()

    def get(self, call: Call) -> Answer | None:
        """The answer that is kept; None if there is none."""
        if call.cache_seconds is None:
            return None
        until, answer = self._kept.get(_key(call), (0.0, None))
        return answer if self._now() < until else None

    def put(self, call: Call, answer: Answer) -> None:
        """Keep an answer, if Braze would."""
        if call.cache_seconds is None or not is_good(answer.status):
            return
        self._kept[_key(call)] = self._now() + call.cache_seconds, answer
        if len(self._kept) > MAX_KEPT_ANSWERS:
            self._kept.popitem(last=False)


def is_good(status: int) -> bool:
    """Whether Braze reads the body."""
    return 200 <= status < 300  # noqa: PLR2004  # 2XX


def _key(call: Call) -> tuple[str, str, str]:
    return call.method, call.url, call.body
