"""How fast a rehearsal goes: `python -m bench rehearse_pace`, or `python -m bench.rehearse_pace USERS`.

100,000 users at Braze's 50,000 messages a minute, two passes each, against one replica on the same machine whose lists
are all fresh. So what is measured is the rehearsal, not Personalize.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from bench.rehearsals import TEMPLATE
from bench.speed import DATA
from tests.support.processes import ROOT, inherited, service

USERS, PER_MINUTE = 100_000, 50_000

ENOUGH = 0.98
"""Of the rate that was wanted; the last messages are answered after the last one was due."""


def rehearse_pace(users: int = USERS) -> dict[str, Any]:
    """One send, and what it cost."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "mail.liquid").write_text(TEMPLATE, "utf-8")
        (folder / "users.txt").write_text("".join(f"filled{number}\n" for number in range(users)), "utf-8")
        replica = stack.enter_context(
            service(
                None,
                catalog=DATA / "items.csv",
                arguments=("bench.prefilled_service",),
                CACHE_MAX_MB="1024",
                CACHE_FRESH_SECONDS="3600",
            )
        )
        replica.post(f"/_fill?users={users}")
        before, began = replica.cpu_seconds(), time.monotonic()
        # The benchmarks keep to one core, which a rehearsal need not.
        cores = [*("taskset", "-c", f"0-{(os.cpu_count() or 1) - 1}")] if shutil.which("taskset") else []
        popen = subprocess.Popen(
            [
                *cores,
                *(sys.executable, "-m", "service", "rehearse", "--json", "--service", replica.url),
                *("--template", str(folder / "mail.liquid"), "--users", str(folder / "users.txt")),
                *("--per-minute", str(PER_MINUTE), "--passes", "2"),
            ],
            cwd=ROOT,
            env=inherited(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert popen.stdout is not None
        with popen.stdout as output:
            report = orjson.loads(output.read())
        # The kernel's own count, of the process and of those that render for it.
        _, status, usage = os.wait4(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
        assert popen.returncode == 0
        seconds = time.monotonic() - began
        return {
            "messages": report["messages"],
            "messages_per_minute": round(report["messages"] / seconds * 60),
            "good": report["good_share"],
            "late": report["late_calls"],
            "p99_ms": report["p99_ms"],
            "rehearsal_ms_per_message": 1000 * (usage.ru_utime + usage.ru_stime) / users,
            "service_ms_per_message": 1000 * (replica.cpu_seconds() - before) / users,
        }


MOST_MS = 1.5
"""Of processor time a message, its start included: two cores that the service shares have no more at that rate."""


def promises(report: dict[str, Any]) -> dict[str, bool]:
    """The rate is reached, no call is late for want of processor time, and a message costs little of that."""
    cost, service_cost = report["rehearsal_ms_per_message"], report["service_ms_per_message"]
    return {
        f"{report['messages_per_minute']:,} messages a minute of {PER_MINUTE:,}": report["messages_per_minute"]
        >= ENOUGH * PER_MINUTE,
        f"{cost:.2f} ms of processor time a message, and {service_cost:.2f} of the service": cost <= MOST_MS,
        "every message good, none late": report["good"] == 1.0 and not report["late"],
    }


if __name__ == "__main__":
    print(orjson.dumps(rehearse_pace(int(sys.argv[1]) if sys.argv[1:] else USERS), option=orjson.OPT_INDENT_2).decode())
