"""A million batch lists: how long they take to load, what they weigh, and that a killed load loses and doubles nothing.

`python -m bench.batch` loads into Redis and into the embedded file; `--users` for another number.
"""

import contextlib
import csv
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from redis import Redis

from tests.support.processes import RETAIL, ROOT, SAMPLE, configuration, stop
from tests.support.redis import RedisServer

USERS = 1_000_000
LIST_ITEMS = 25
SECONDS = 120
LOADER_MIB = 200
REDIS_MB = 500
DIFFERENT_LISTS = 5_000
"""Lists that are drawn; each user gets one of them. To draw a million takes longer than to load them."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `batch load`."""

    status: int
    seconds: float
    peak_mib: float
    words: str


def catalogue_ids(catalog: Path) -> list[str]:
    """The items' ids, in the file's order."""
    with catalog.open(newline="", encoding="utf-8") as file:
        return [row["id"] for row in csv.DictReader(file)]


def write_batch(path: Path, users: Iterable[str], ids: Sequence[str], seed: int = 1) -> Path:
    """Batch output as Personalize writes it, a list of random items for each user."""
    rng = random.Random(seed)
    size = min(LIST_ITEMS, len(ids))
    lists = ['","'.join(rng.sample(ids, size)) for _ in range(DIFFERENT_LISTS)]
    scores = ",".join(f"{0.04 / (place + 1):.7f}" for place in range(size))
    with path.open("w", encoding="utf-8") as file:
        for user in users:
            file.write(
                f'{{"input":{{"userId":"{user}"}},"output":{{"recommendedItems":["{rng.choice(lists)}"],'
                f'"scores":[{scores}]}},"error":null}}\n'
            )
    return path


def load(path: Path, environment: Mapping[str, str], *, kill_after: float | None = None) -> Run:
    """Run `personalize-connect batch load`, killed after these seconds if it is not done by then."""
    began = time.monotonic()
    command = [sys.executable, "-m", "service", "batch", "load", str(path), "--errors", f"{path}.errors"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as written:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=written, stderr=subprocess.STDOUT
        )
        try:
            if kill_after is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(kill_after)
                process.send_signal(signal.SIGKILL)
            status, peak_kib = _ended(process)
        finally:
            stop(process)
        written.seek(0)
        return Run(status, time.monotonic() - began, peak_kib / 1024, written.read())


def _ended(process: "subprocess.Popen[bytes]") -> tuple[int, int]:
    if process.returncode is not None:
        return process.returncode, 0
    _, waited, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(waited)
    return process.returncode, usage.ru_maxrss


def in_redis(client: "Redis") -> str:
    """A digest of the active set: every user's list, and the dictionary."""
    digest = hashlib.sha256()
    [pointer] = client.scan_iter("*:batch:current", count=1000)
    name: Any = client.get(pointer)
    prefix = pointer.removesuffix(b"current") + name + b":"
    for first in range(0, 65_536, 1024):
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, first + 1024):
                pipe.hgetall(prefix + f"{number:x}".encode())
            for bucket in pipe.execute():
                _take(digest, sorted(bucket.items()))
    number = 0
    while items := client.hgetall(prefix + f"items:{number}".encode()):
        _take(digest, sorted(items.items()))
        number += 1
    return digest.hexdigest()


def in_file(data_dir: Path) -> str:
    """The same of the embedded file."""
    digest = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(data_dir / "batch-lists.sqlite")) as connection:
        _take(digest, connection.execute("SELECT user, packed FROM list ORDER BY user"))
        _take(digest, connection.execute("SELECT place, id FROM item ORDER BY place"))
    return digest.hexdigest()


def _take(digest: Any, rows: Iterable[Any]) -> None:
    for row in rows:
        digest.update(repr(row).encode())


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
    killed = [load(path, environment, kill_after=seconds).status for seconds in kills]
    resumed = load(path, environment)
    return {
        "seconds": round(whole.seconds, 1),
        "loader_mib": round(max(whole.peak_mib, resumed.peak_mib), 1),
        "killed_after": kills,
        "killed": killed,
        "resumed": "went on after" in resumed.words,
        "equal": contents() == expected,
    }


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


@contextlib.contextmanager
def whole_output(users: Sequence[str], ids: Sequence[str]) -> Iterator[Path]:
    """A file with a list for each of these users, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        yield write_batch(Path(folder) / "users.json.out", users, ids)


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
