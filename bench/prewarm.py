"""A prewarm beside a live send: what it costs the live calls, and what a send to its users costs afterwards."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.sends import Send, fleet, run_send
from tests.support.processes import Process, command, configuration
from tests.support.waiting import wait_until

TPS = 20
USERS = 600
REPLICAS = 3
LOADS = {"light": (8, 25), "heavy": (40, 15)}
"""Users per second, each with three calls, and seconds: below the TPS, and twice of it."""


def prewarm() -> dict[str, Any]:
    """Each live send without a prewarm, and beside a prewarm of 600 users."""
    reports: dict[str, Any] = {}
    for name, (per_second, seconds) in LOADS.items():
        live = [f"live{number}" for number in range(per_second * seconds)]
        with ExitStack() as stack:
            personalize, replicas, _ = fleet(stack, TPS, REPLICAS)
            reports[f"{name}_without"] = _live(run_send(personalize, replicas, live, per_second))
        with ExitStack() as stack:
            personalize, replicas, redis = fleet(stack, TPS, REPLICAS)
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "users.txt"
            prewarmed = [f"prewarmed{number}" for number in range(USERS)]
            path.write_text("\n".join(prewarmed), "utf-8")
            environment = configuration(personalize, PERSONALIZE_TPS=str(TPS), REDIS_URL=redis.url)
            began = time.monotonic()
            process = stack.enter_context(command(["prewarm", "--users", str(path)], environment))
            wait_for_transactions(personalize, 5)
            done = run_send(personalize, replicas, live, per_second)
            report = reports[f"{name}_beside"] = _live(done)
            report["budget_used"] = round(len(done.arrivals) / (TPS * _span(done)), 3)
            report["prewarm_meanwhile"] = sum(
                count for user, count in done.stats["by_user"].items() if user in prewarmed
            )
            report["status"], report["words"] = process.finish(120)
            report["prewarm_seconds"] = round(time.monotonic() - began, 1)
            report["later_transactions"], later = _later(personalize, replicas, prewarmed)
            report["later_sources"] = later
    return reports


def wait_for_transactions(personalize: Process, count: int) -> None:
    """Return once Personalize has been asked so often."""
    wait_until(lambda: personalize.get_json("/_stats")["transactions"] >= count)


def promises(report: dict[str, Any]) -> dict[str, bool]:
    """What is promised of it, and whether it was kept."""
    kept: dict[str, bool] = {}
    slot_ms = 1000 / (TPS * 0.98)
    for name in LOADS:
        without, beside = report[f"{name}_without"], report[f"{name}_beside"]
        kept |= {
            f"{name}: {beside['personalised']:.1%} of the live calls personal, {without['personalised']:.1%} without": (
                beside["personalised"] > without["personalised"] - 0.01
            ),
            f"{name}: p50 {beside['p50_ms']:.0f} ms, {without['p50_ms']:.0f} without; a slot is {slot_ms:.0f}": (
                beside["p50_ms"] < without["p50_ms"] + slot_ms
            ),
            # A call waits for one slot more at most; the other half is for the machine, whose cores all this shares.
            f"{name}: p99 {beside['p99_ms']:.0f} ms, {without['p99_ms']:.0f} without": (
                beside["p99_ms"] < without["p99_ms"] + 1.5 * slot_ms
            ),
            f"{name}: {beside['prewarm_meanwhile']} lists prewarmed meanwhile": True,
            f"{name}: {beside['budget_used']:.1%} of the budget used, at least 95 %": beside["budget_used"] >= 0.95,
            f"{name}: {beside['throttled']} throttled": beside["throttled"] == 0,
            f"{name}: {USERS} lists in {beside['prewarm_seconds']:.0f} s": beside["status"] == 0,
            f"{name}: {beside['later_transactions']} transactions for a send to them": not beside["later_transactions"],
        }
    return kept


def _live(done: Send) -> dict[str, Any]:
    calls = [call for call in done.calls if call.user.startswith("live")]
    seconds = sorted(call.seconds for call in calls)
    return {
        "calls": len(calls),
        "ok": sum(call.status == 200 and call.complete for call in calls),
        "personalised": sum(call.source in {"personalize", "cache"} for call in calls) / len(calls),
        "p50_ms": round(seconds[len(seconds) // 2] * 1000, 1),
        "p99_ms": round(seconds[len(seconds) * 99 // 100] * 1000, 1),
        "slowest_ms": round(seconds[-1] * 1000, 1),
        "throttled": done.stats["throttled"],
    }


def _span(done: Send) -> float:
    return max(done.arrivals) - min(done.arrivals)


def _later(personalize: Process, replicas: list[Process], users: list[str]) -> tuple[int, list[str]]:
    done = run_send(personalize, replicas, users, 100)
    return int(done.stats["transactions"]), sorted({call.source for call in done.calls})
