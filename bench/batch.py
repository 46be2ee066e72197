"""A million batch lists: how long they take to load, what they weigh, and that a killed load loses and doubles nothing.

`python -m bench.batch` loads into Redis and into the embedded file; `--users` for another number.
"""

import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from redis import Redis

from tests.support.batch_output import catalogue_ids, in_file, in_redis, load, write_batch
from tests.support.processes import RETAIL, SAMPLE, configuration
from tests.support.redis import RedisServer

USERS = 1_000_000
SECONDS = 120
LOADER_MIB = 200
REDIS_MB = 500


def batch(users: int = USERS) -> dict[str, Any]:
    """Both stores."""
    catalog = (RETAIL if RETAIL.exists() else SAMPLE) / "items.csv"
    report: dict[str, Any] = {"users": users}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = write_batch(folder / "users.json.out", (f"u{n}" for n in range(users)), catalogue_ids(catalog))
        redis = stack.enter_context(RedisServer())
        url = redis.url
        with Redis.from_url(url) as client:
            empty = client.info("memory")["used_memory"]
            environment = configuration(None, catalog=catalog, REDIS_URL=url)
            report["redis"] = _measured(path, environment, lambda: in_redis(client), client.flushall)
            report["redis"]["used_memory_mb"] = round((client.info("memory")["used_memory"] - empty) / 1e6, 1)
        data_dir = folder / "data"
        environment = configuration(None, catalog=catalog, DATA_DIR=str(data_dir))
        sqlite = _measured(path, environment, lambda: in_file(data_dir), (data_dir / "batch-lists.sqlite").unlink)
        sqlite["file_mb"] = round((data_dir / "batch-lists.sqlite").stat().st_size / 1e6, 1)
        report["sqlite"] = sqlite
    return report


def _measured(path: Path, environment: Mapping[str, str], contents: Any, clear: Any) -> dict[str, Any]:
    whole = load(path, environment)
    if whole.status:
        raise RuntimeError(whole.words)
    expected = contents()
    clear()
    rng = random.Random()
    kills = [round(rng.uniform(0.1, 0.45) * whole.seconds, 1) for _ in range(2)]
    killed = [load(path, environment, kill_when=_after(seconds)).status for seconds in kills]
    resumed = load(path, environment)
    return {
        "seconds": round(whole.seconds, 1),
        "loader_mib": round(max(whole.peak_mib, resumed.peak_mib), 1),
        "killed_after": kills,
        "killed": killed,
        "resumed": "went on after" in resumed.words,
        "equal": contents() == expected,
    }


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def promises(report: dict[str, Any]) -> dict[str, bool]:
    """What is promised of it, and whether it was kept."""
    kept: dict[str, bool] = {}
    for store in ("redis", "sqlite"):
        one = report[store]
        rate = report["users"] / one["seconds"]
        kept |= {
            f"{store}: {report['users']:,} lists in {one['seconds']} s, {rate:,.0f}/s; at most {SECONDS} s": (
                one["seconds"] <= SECONDS
            ),
            f"{store}: loader took {one['loader_mib']} MiB, at most {LOADER_MIB}": one["loader_mib"] <= LOADER_MIB,
            f"{store}: killed after {one['killed_after']} s, went on, and equals a whole load": (
                one["killed"] == [-signal.SIGKILL] * 2 and one["resumed"] and one["equal"]
            ),
        }
    used = report["redis"]["used_memory_mb"]
    kept[f"redis: used_memory {used} MB, at most {REDIS_MB}"] = used <= REDIS_MB
    kept[f"sqlite: a file of {report['sqlite']['file_mb']} MB"] = True
    return kept


@click.command()
@click.option("--users", default=USERS, show_default=True)
def main(users: int) -> None:
    """Measure, print, and exit with 1 when a promise is not kept."""
    report = batch(users)
    kept = promises(report)
    print(json.dumps(report, indent=1))
    print(*(f"{'ok  ' if ok else 'FAIL'} {text}" for text, ok in kept.items()), sep="\n")
    sys.exit(0 if all(kept.values()) else 1)


if __name__ == "__main__":
    main()
