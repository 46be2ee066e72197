"""All metrics, in one list, and the access lines; `docs/operate/metrics.md` describes them for the person on call.

Labels come from closed sets only, never from a client. Log events are constant phrases with fields; no user id at info.

Longer than 300 lines: it is the one list of all metrics.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate
from typing import Final, TypeAlias, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.constants import BUDGET_PROMISE
from service.errors import DegradedReason
from service.models import SOURCES, Answer, Source

_log = structlog.stdlib.get_logger("service.access")

LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "source": SOURCES,
    "degraded_reason": ("", *get_args(DegradedReason)),
    "outcome": ("ok", "empty", "throttled", "timeout", "error"),
    "reason": ("requested", "blocked", "unknown", "excluded", "max_per", "bought"),
    "result": ("accepted", "duplicate", "ignored", "rejected", "sent", "aside"),
    "event": ("full", "unreadable", "resubscribed"),
    "cause": ("room", "files", "late", "untaken"),
}
"""Every value that a label can have."""

_DEGRADED: Final = LABELS["degraded_reason"]

REASONS_BY_SOURCE: Final[Mapping[Source, tuple[str, ...]]] = {
    "personalize": ("", "short"),
    "cache": ("", "short"),
    "stale": _DEGRADED,
    "batch": _DEGRADED,
    "popular": _DEGRADED,
    "unranked": _DEGRADED,
    "empty": _DEGRADED,
}
"""Which reasons go with a source; a live and a fresh list have no other."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_SHORTEST = _SECONDS[0]


class Telemetry:
    """The metrics of one process.

    Args:
        placements: Their names, a closed set of labels.
        access_log_sample: Share of the answers that get an access line, 0..1. Degraded answers are sampled alike: in an
            overload they are the most.
    """

    def __init__(self, *, placements: Collection[str] = (), access_log_sample: float = 0.0) -> None:
        self.registry = CollectorRegistry()
        # Processor time, memory and open files of this process, where the system tells them: on Linux.
        ProcessCollector(registry=self.registry)
        self._sample = access_log_sample
        self._answers = _Answers(placements)
        self._gauges: dict[str, Collector] = {}
        """Those without labels, by name."""
        self.spent: dict[str, int] = dict.fromkeys(placements, 0)
        """Transactions by placement, which the counter below gives only with all its labels."""
        self.registry.register(self._answers)
        self.transactions = Counter(
            "personalize_transactions",
            f"Transactions spent, by placement and outcome. {BUDGET_PROMISE}",
            ["placement", "outcome"],
            registry=self.registry,
        )
        self.transaction_duration = Histogram(
            "personalize_transaction_duration_seconds",
            "Time that a transaction takes.",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.budget_wait_seconds = Histogram(
            "personalize_budget_wait_seconds",
            "Time that a caller waited for its slot of the budget.",
            registry=self.registry,
            buckets=_SECONDS,
        )
        lists_events = Counter(
            "redis_lists_events",
            "What Redis refused: room for a list, a readable value, the channel of flights.",
            ["event"],
            registry=self.registry,
        )
        self._events = Counter("events", "Events taken in and sent on, by result.", ["result"], registry=self.registry)
        self.unauthorized = Counter("http_unauthorized", "Requests without a valid credential.", registry=self.registry)
        # From the start, so that a rate sees the first of each.
        for placement in placements:
            for outcome in LABELS["outcome"]:
                self.transactions.labels(placement, outcome)
        for result in LABELS["result"]:
            self._events.labels(result)
        self._lists_events = {event: lists_events.labels(event) for event in LABELS["event"]}

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """A metric whose value is read when it is asked for."""
        self._gauges[name] = gauge = _ReadGauge(name, documentation, read)
        self.registry.register(gauge)

    def build(self, version: str, commit: str) -> None:
        """Say which version runs; `commit` is empty where it is not known."""
        self.registry.register(_BuildInfo(version, commit))

    def events(self, result: str, count: int) -> None:
        """Events were `accepted`, `duplicate`, `ignored`, `rejected`, `sent` or put `aside`."""
        self._events.labels(result).inc(count)

    def gauges(self, name: str, documentation: str, read: Callable[[], Mapping[str, float]]) -> None:
        """A metric with a value for each placement, read when it is asked for."""
        self.registry.register(_ReadGauges(name, documentation, read))

    def recorder_of(self, placement: str) -> "PlacementRecorder":
        """Where a placement counts its transactions."""
        return PlacementRecorder(self, placement)

    def stored_gauge(self, name: str, documentation: str) -> Gauge:
        """A metric whose value is set."""
        self._gauges[name] = gauge = Gauge(name, documentation, registry=self.registry)
        return gauge

    def values(self, names: Iterable[str]) -> dict[str, float]:
        """The gauges of these names, as Prometheus would read them now; those that there are."""
        gauges = {name: self._gauges[name] for name in names if name in self._gauges}
        return {
            name: sample.value for name, one in gauges.items() for metric in one.collect() for sample in metric.samples
        }

    def answers_by_reason(self) -> Mapping[str, int]:
        """Answers of `/recommendations` since the start by degraded reason, empty for none."""
        return self._answers.by_reason()

    def answers_by_source(self) -> Mapping[str, int]:
        """Answers of `/recommendations` since the start by source."""
        return self._answers.by_source()

    def transactions_by_placement(self) -> Mapping[str, int]:
        """Transactions since the start, whatever came of them."""
        return dict(self.spent)

    def sampled(self) -> bool:
        """Whether the next answer gets an access line."""
        return self._sample > 0 and random.random() < self._sample  # noqa: S311  # sampling, not a secret

    def answered(self, answer: Answer, seconds: float, request_id: bytes | None = None) -> None:
        """An answer of `/recommendations` leaves; with the id under which to log it, if it is to be logged."""
        self._answers.count(answer.placement, answer.source, answer.degraded_reason or "", seconds)
        if answer.variant is not None:
            self._answers.count_variant(answer.asked_placement, answer.variant, answer.source)
        for reason, items in answer.dropped:
            self._answers.dropped[reason] += items
        if request_id is not None:
            _log.info(
                "answered",
                request_id=request_id.decode(),
                status=200,
                placement=answer.placement,
                variant=answer.variant,
                source=answer.source,
                degraded_reason=answer.degraded_reason,
                cache_age_seconds=answer.age_seconds,
                duration_ms=round(seconds * 1000, 2),
                **{f"{name}_ms": round(one, 2) for name, one in answer.timings},
            )

    def hit(self, answer: "Hit", age_seconds: int, seconds: float, request_id: bytes | None = None) -> None:
        """A fresh list left by the hit lane; the same as `answered`, without an `Answer` to look into."""
        placement, variant, degraded_reason, dropped = answer
        self._answers.count(placement, "cache", degraded_reason, seconds)
        if variant:
            self._answers.count_variant(placement, variant, "cache")
        for reason, items in dropped:
            self._answers.dropped[reason] += items
        if request_id is not None:
            _log.info(
                "answered",
                request_id=request_id.decode(),
                status=200,
                placement=placement,
                variant=variant or None,
                source="cache",
                degraded_reason=degraded_reason or None,
                cache_age_seconds=age_seconds,
                duration_ms=round(seconds * 1000, 2),
            )

    def other(self, route: str | None, status: int, seconds: float, request_id: bytes) -> None:
        """Log an answer that recommends nothing: a refused request, administration.

        Args:
            route: The path with the names of its parameters, whose values may name a user; None for an unknown one.
            status: 0 if the client left before there was one.
            seconds: From the request's arrival to the end of its answer.
            request_id: Under which to log it.
        """
        _log.info(
            "answered",
            request_id=request_id.decode(),
            status=status,
            route=route,
            duration_ms=round(seconds * 1000, 2),
        )

    def lists_event(self, event: str) -> None:
        """Redis refused something of the lists that replicas share."""
        self._lists_events[event].inc()


Hit: TypeAlias = tuple[str, str, str, tuple[tuple[str, int], ...]]
"""Of a hit: placement, variant, degraded reason (empty for none), and why items were dropped and how many. A plain
tuple, which the garbage collector leaves in peace."""


class PlacementRecorder:
    """Counts the transactions of one placement; implements `personalize.ports.Recorder`."""

    def __init__(self, telemetry: Telemetry, placement: str) -> None:
        self._telemetry = telemetry
        self._placement = placement

    def transaction(self, outcome: str, seconds: float) -> None:
        """A transaction was spent."""
        self._telemetry.transactions.labels(self._placement, outcome).inc()
        self._telemetry.spent[self._placement] = self._telemetry.spent.get(self._placement, 0) + 1
        self._telemetry.transaction_duration.observe(seconds)

    def budget_wait(self, seconds: float) -> None:
        """A caller waited this long for its slot."""
        self._telemetry.budget_wait_seconds.observe(seconds)


class _Answers(Collector):
    """The answers of `/recommendations`, counted without the three locks that the library's own metrics would take.

    All answers leave on the event loop's thread.
    """

    def __init__(self, placements: Iterable[str]) -> None:
        # From the start, so that a rate sees the first of each, and a panel shows 0 where there is none.
        self._by_kind: dict[tuple[str, str, str], int] = {
            (placement, source, reason): 0
            for placement in placements
            for source, reasons in REASONS_BY_SOURCE.items()
            for reason in reasons
        }
        self._by_variant: dict[tuple[str, str, str], int] = {}
        self._by_bucket = [0] * (len(_SECONDS) + 1)
        self._seconds = 0.0
        self.dropped: dict[str, int] = dict.fromkeys(LABELS["reason"], 0)

    def count(self, placement: str, source: str, degraded_reason: str, seconds: float) -> None:
        kind = placement, source, degraded_reason
        self._by_kind[kind] = self._by_kind.get(kind, 0) + 1
        self._by_bucket[0 if seconds <= _SHORTEST else bisect_left(_SECONDS, seconds)] += 1
        self._seconds += seconds

    def by_reason(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for (_, _, reason), count in self._by_kind.items():
            found[reason] = found.get(reason, 0) + count
        return found

    def by_source(self) -> dict[str, int]:
        found: dict[str, int] = dict.fromkeys(SOURCES, 0)
        for (_, source, _), count in self._by_kind.items():
            found[source] = found.get(source, 0) + count
        return found

    def count_variant(self, placement: str, variant: str, source: str) -> None:
        kind = placement, variant, source
        self._by_variant[kind] = self._by_variant.get(kind, 0) + 1

    def collect(self) -> list[CounterMetricFamily | HistogramMetricFamily]:
        variants = CounterMetricFamily(
            "recommendations_variants",
            "Answers of placements with variants, by the arm that the user is in.",
            labels=["placement", "variant", "source"],
        )
        for variant, count in self._by_variant.items():
            variants.add_metric(variant, count)
        requests = CounterMetricFamily(
            "recommendations_requests",
            "Answers by placement, source and degraded reason.",
            labels=["placement", "source", "degraded_reason"],
        )
        for kind, count in self._by_kind.items():
            requests.add_metric(kind, count)
        bounds = [*map(floatToGoString, _SECONDS), "+Inf"]
        duration = HistogramMetricFamily(
            "recommendations_request_duration_seconds", "Time from a request's arrival to its answer."
        )
        duration.add_metric([], list(zip(bounds, accumulate(self._by_bucket), strict=True)), self._seconds)
        dropped = CounterMetricFamily(
            "recommendations_items_dropped",
            "Items of a list that an answer did not show, by reason.",
            labels=["reason"],
        )
        for reason, items in self.dropped.items():
            dropped.add_metric([reason], items)
        return [requests, variants, duration, dropped]


class _BuildInfo(Collector):
    def __init__(self, version: str, commit: str) -> None:
        self._version, self._commit = version, commit

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily("build_info", "Which version runs; always 1.", labels=["version", "commit"])
        family.add_metric([self._version, self._commit], 1.0)
        return [family]


class _ReadGauges(Collector):
    def __init__(self, name: str, documentation: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._documentation, self._read = name, documentation, read

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._documentation, labels=["placement"])
        for placement, value in self._read().items():
            family.add_metric([placement], float(value))
        return [family]


class _ReadGauge(Collector):
    def __init__(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        self._name, self._documentation, self._read = name, documentation, read

    def collect(self) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily(self._name, self._documentation, value=float(self._read()))]
