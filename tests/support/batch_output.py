"""What a batch job of Personalize writes, and how `personalize-connect batch load` reads it in a process of its own."""

import contextlib
import csv
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from tests.support.processes import inherited, stop
from tests.support.waiting import wait_until

LIST_ITEMS = 25
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


def load(url: Path | str, environment: Mapping[str, str], *, kill_when: Callable[[], bool] | None = None) -> Run:
    """Run `personalize-connect batch load`; killed, if it is not done by then, as soon as something is so."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+", encoding="utf-8") as written:
        command = [sys.executable, "-m", "service", "batch", "load", str(url), "--errors", f"{folder}/errors"]
        process = subprocess.Popen(
            command, cwd=folder, env=inherited() | dict(environment), stdout=written, stderr=subprocess.STDOUT
        )
        try:
            if kill_when is not None:
                wait_until(lambda: kill_when() or _has_ended(process))
                process.send_signal(signal.SIGKILL)
            status, peak_kib = _ended(process)
        finally:
            stop(process)
        written.seek(0)
        return Run(status, time.monotonic() - began, peak_kib / 1024, written.read())


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # Not reaped, so that its usage can still be read.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    _, waited, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(waited)
    return process.returncode, usage.ru_maxrss


def in_redis(client: Redis) -> str:
    """A digest of the active set: every user's list, and the dictionary."""
    digest = hashlib.sha256()
    [pointer] = client.scan_iter("*:batch:current", count=1000)
    name: Any = client.get(pointer)
    keys = sorted(client.scan_iter(pointer.removesuffix(b"current") + name + b":*", count=1000, _type="HASH"))
    for first in range(0, len(keys), 1000):
        with client.pipeline(transaction=False) as pipe:
            for key in keys[first : first + 1000]:
                pipe.hgetall(key)
            for key, bucket in zip(keys[first : first + 1000], pipe.execute(), strict=True):
                _take(digest, [key.removeprefix(pointer.removesuffix(b"current") + name), sorted(bucket.items())])
    return digest.hexdigest()


def in_file(data_dir: Path) -> str:
    """The same of the embedded file."""
    digest = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(data_dir / "batch-lists.sqlite")) as connection:
        _take(digest, connection.execute("SELECT user, packed FROM list ORDER BY user"))
        _take(digest, connection.execute("SELECT place, id FROM item ORDER BY place"))
    return digest.hexdigest()


def _take(
    digest: Any,  # noqa: ANN401  # hashlib names no type
    rows: Iterable[Any],
) -> None:
    for row in rows:
        digest.update(repr(row).encode())
