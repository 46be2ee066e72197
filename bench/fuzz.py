"""Random raw requests against one replica, beside normal callers.

`python -m bench.fuzz --requests 20000 --seed 1` holds 200 connections that never finish a request meanwhile, prints the
figures as JSON and exits with 1 when one is not as promised: no 5xx, no traceback, the process lives, and normal calls
stay under 100 ms at p99.
"""

import json
import sys
import tempfile

import click

from tests.support.fuzzing import ADMIN_KEY, fuzz, is_fault
from tests.support.processes import local_personalize, service

PROMISED_P99_MS = 100.0


@click.command()
@click.option("--requests", default=20_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(requests: int, seed: int) -> None:
    """Fuzz one replica on the sample."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local_personalize() as personalize,
        service(personalize, PERSONALIZE_TPS="200", ADMIN_KEYS=ADMIN_KEY.decode(), DATA_DIR=folder) as replica,
    ):
        before = replica.resident_mib()
        done = fuzz(replica, requests, seed=seed)
        alive = replica.is_running
        after = replica.resident_mib()
        replica.stop()
        faults = [line for line in replica.written() if is_fault(line)]
    figures = {
        "requests": done.requests,
        "answers": {str(status): count for status, count in sorted(done.statuses.items())},
        "unanswered": done.unanswered,
        "failed": [repr(one) for one in done.failed[:10]],
        "faults_in_log": faults[:10],
        "normal_calls": len(done.normal_ms),
        "normal_failed": done.normal_failed,
        "normal_p50_ms": round(sorted(done.normal_ms)[len(done.normal_ms) // 2], 2),
        "normal_p99_ms": round(done.p99_ms, 2),
        "normal_max_ms": round(max(done.normal_ms), 2),
        "resident_mib": [round(before, 1), round(after, 1)],
        "seconds": round(done.seconds, 1),
    }
    print(json.dumps(figures, indent=1))
    kept = alive and not done.failed and not faults and not done.normal_failed and done.p99_ms < PROMISED_P99_MS
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
