"""Sends against what `personalize-connect plan` says of them beforehand."""

import random
from collections import Counter
from typing import Any

from bench.sends import run_send
from service.sends.plan.course import SOURCES
from service.sends.plan.send import Send
from service.sends.plan.simulation import simulate
from tests.support.processes import local_personalize, service

ALLOWED = 0.05
"""Largest difference of a share that is still a true plan."""

TPS, USERS, PER_SECOND, CALLS_EACH, LATENCY_MS = 5.0, 300, 10.0, 3, 30


def planned_sends() -> dict[str, Any]:
    """300 users at 10/s and 5 TPS; then the same with 40 % of them cached, in random order."""
    return {f"{share:.0%} cached": planned_send(share) for share in (0.0, 0.4)}


def planned_send(cached: float) -> dict[str, Any]:
    """One send, measured and planned; shares of users by their first answer, and of calls."""
    users = [f"u{number}" for number in range(USERS)]
    known = users[: round(cached * USERS)]
    random.Random(6).shuffle(users)
    with (
        local_personalize(tps=TPS, latency_ms=LATENCY_MS) as personalize,
        service(personalize, PERSONALIZE_TPS=str(TPS)) as replica,
    ):
        if known:
            lists = run_send(personalize, [replica], known, per_second=0.8 * TPS, calls_each=1)
            assert {call.source for call in lists.calls} == {"personalize"}
        done = run_send(personalize, [replica], users, PER_SECOND, CALLS_EACH)
    first: dict[str, str] = {}
    for call in sorted(done.calls, key=lambda one: one.began):
        first.setdefault(call.user, call.source)
    by_user, by_call = Counter(first.values()), Counter(call.source for call in done.calls)
    plan = simulate(
        Send(
            recipients=USERS,
            passes=CALLS_EACH,
            minutes=USERS / PER_SECOND / 60,
            tps=TPS,
            cached=cached,
            latency_seconds=LATENCY_MS / 1000,
        )
    )
    return {
        "users": {source: [by_user[source] / USERS, plan.share(source)] for source in SOURCES},
        "calls": {source: [by_call[source] / len(done.calls), plan.share_of_calls(source)] for source in SOURCES},
        "transactions": [len(done.arrivals), plan.transactions],
    }


def promises(report: dict[str, Any]) -> dict[str, bool]:
    """Each share that occurs, measured and planned."""
    return {
        f"{name}, {of}, {source}: measured {measured:.1%}, planned {planned:.1%}": abs(measured - planned) <= ALLOWED
        for name, one in report.items()
        for of in ("users", "calls")
        for source, (measured, planned) in one[of].items()
        if measured or planned
    }
