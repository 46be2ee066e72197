"""Whether Redis lets the replicas share what they share."""

from collections.abc import Iterator, Sequence
from typing import Final

from service.doctor.clocks import ClockComparison
from service.doctor.findings import Finding, error, ok, warning
from service.errors import ConfigurationError
from service.fleet.client import TIMEOUT_SECONDS
from service.fleet.examination import Examination, examine
from service.fleet.keeping import Keeping

SLOW_SECONDS: Final = TIMEOUT_SECONDS / 5
"""For one command. The service gives Redis five times as long, and most ways to it take less than a millisecond."""

_CHECK: Final = "Redis"
_EVENTS: Final = "events"


async def check_redis(url: str, clocks: ClockComparison, *, keeps_events: bool) -> list[Finding]:
    """What is wrong with the Redis of REDIS_URL; an error if the replicas cannot use it.

    Args:
        url: REDIS_URL.
        clocks: Gets to know Redis's clock.
        keeps_events: Whether accepted events wait there.
    """
    try:
        found = await examine(url)
    except ConfigurationError as failure:
        return [error(_CHECK, problem) for problem in failure.problems]
    for node in found.nodes:
        clocks.saw("Redis", node.time)
    findings = list(_findings(found))
    if keeps_events and found.cause is None:
        findings += _of_events([node.keeping for node in found.nodes])
    return findings


def _of_events(keepings: Sequence[Keeping]) -> Iterator[Finding]:
    silently = next(filter(None, (one.loses_silently for one in keepings)), "")
    in_a_crash = next(filter(None, (one.loses_in_a_crash for one in keepings)), "")
    if silently:
        yield error(_EVENTS, silently, "until then POST /events answers 500")
    if in_a_crash:
        yield warning(_EVENTS, in_a_crash, "docs/operate/events.md says what is enough")
    if not silently and not in_a_crash:
        yield ok(_EVENTS, "Redis keeps accepted events through a crash, but for the last second")


def _findings(found: Examination) -> Iterator[Finding]:
    if found.cause is not None:
        advice = "" if found.cause.kind == "rights" else "docs/operate/redis.md says how to mend each cause"
        yield error(_CHECK, f"{found.where}: {found.cause.words}", advice)
        return
    if found.missing_slots:
        what = f"no node of the cluster serves {found.missing_slots} of its slots"
        yield error(_CHECK, what, "bring its nodes back, or assign the slots anew")
    if found.silent_sentinels:
        what = f"sentinels that do not answer, or do not know the master: {', '.join(found.silent_sentinels)}"
        yield warning(_CHECK, what, "a failover needs most of them")
    slowest = max(node.seconds for node in found.nodes)
    if slowest > SLOW_SECONDS:
        what = f"takes {slowest * 1000:.0f} ms for a command; the service waits {TIMEOUT_SECONDS * 1000:.0f} ms"
        yield warning(_CHECK, what, "move it into the region and network of the replicas, or make it larger")
    nodes = f"{len(found.nodes)} masters" if found.mode == "cluster" else found.mode
    yield ok(_CHECK, f"{found.server or 'a server'} at {found.where}, {nodes}, lets us do all that the service does")
