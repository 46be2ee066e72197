"""What is refused, for Prometheus and the log: one line a minute of each kind says why, and how often.

Labels come from closed sets: our routes, the statuses that we answer, the names of our own parameters. A line has no
more of a request than they, so a caller can put nothing into it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.api.query import PARAMETER_NAMES
from service.constants import RANKING_PATH, RECOMMENDATIONS_PATH, SIMILAR_ITEMS_PATH

_log = structlog.stdlib.get_logger(__name__)

LINE_SECONDS: Final = 60.0
"""Between two lines of a kind."""

STATUSES: Final = ("400", "401", "404", "405", "409", "413", "422", "431")

PARAMETERS: Final = (
    "",
    *PARAMETER_NAMES,
    "body",
    "item_id",
    "max_age_seconds",
    "path",
    "query",
    "seconds",
    "spare",
    "user_id",
    "user_ids",
)
"""What can be wrong; empty where it is no parameter, or one that we do not know."""

ANSWERING: Final = (RECOMMENDATIONS_PATH, SIMILAR_ITEMS_PATH, RANKING_PATH)

Kind: TypeAlias = tuple[str, str, str]
"""Route, status, parameter."""


@dataclass(slots=True)
class _Line:
    """The latest line of a kind, and what has come since."""

    said_at: float
    unsaid: int
    reason: str


class Refusals(Collector):
    """Counts and logs.

    Args:
        monotonic: The clock by which a minute passes.
        root_path: The prefix under which a proxy passes all paths on.
    """

    def __init__(self, monotonic: Callable[[], float], root_path: str = "") -> None:
        self._monotonic = monotonic
        self._root_path = root_path
        self._routes: frozenset[str] = frozenset()
        self._lines: dict[Kind, _Line] = {}
        # From the start, so that a rate sees the first of each that a template can cause.
        self._counts: dict[Kind, int] = dict.fromkeys(
            [
                *(("", status, "") for status in STATUSES),
                *((route, status, "") for route in ANSWERING for status in STATUSES),
                *((route, "422", name) for route in ANSWERING for name in PARAMETER_NAMES),
            ],
            0,
        )

    def know(self, routes: Iterable[str]) -> None:
        """Take over the paths that may be a label, with the names of their parameters and not their values."""
        self._routes = frozenset(routes)

    def refuse(self, route: str, status: int, parameter: str, reason: str) -> None:
        """A request was refused.

        Args:
            route: Its path as the router has it, or as it came; one that is no route counts as none.
            status: Of the answer.
            parameter: What was wrong, as the caller wrote it; `filter_values.NAME` counts as `filter_values`.
            reason: For the operator, without anything of the request.
        """
        name = parameter.partition(".")[0]
        kind = (
            route if route in self._routes else route.removeprefix(self._root_path),
            str(status),
            name if name in PARAMETERS else "",
        )
        if kind[0] not in self._routes:
            kind = ("", *kind[1:])
        self._counts[kind] = self._counts.get(kind, 0) + 1
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = _Line(self._monotonic() - LINE_SECONDS, 0, reason)
        line.unsaid += 1
        line.reason = reason
        self._say_if_due(kind, line)

    def say(self, *, all_of_it: bool = False) -> None:
        """Log what has waited for its minute to pass; called now and then, and for all of it at the end."""
        for kind, line in self._lines.items():
            self._say_if_due(kind, line, at_once=all_of_it)

    def collect(self) -> list[CounterMetricFamily]:
        """The samples."""
        refused = CounterMetricFamily(
            "http_refused",
            "Requests that were refused, by route, status and the parameter that was wrong.",
            labels=["route", "status", "parameter"],
        )
        for kind, count in self._counts.items():
            refused.add_metric(kind, count)
        return [refused]

    def _say_if_due(self, kind: Kind, line: _Line, *, at_once: bool = False) -> None:
        now = self._monotonic()
        if not line.unsaid or not (at_once or now - line.said_at >= LINE_SECONDS):
            return
        route, status, parameter = kind
        _log.warning(
            "refused",
            route=route or None,
            status=int(status),
            parameter=parameter or None,
            reason=line.reason,
            count=line.unsaid,
        )
        line.said_at, line.unsaid = now, 0
