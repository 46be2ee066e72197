"""Large catalogues: how long until ready, again and after a change, what they weigh, a look-up, a reload under load.

`python -m bench.catalog --items 100000 --large 0 --repeats 1` is a small run; `python -m bench catalog` the whole one.
"""

import asyncio
import csv
import gzip
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import click

from bench.load import Load, paced
from bench.speed import DATA, LATENCY_MS, PERSONALIZE_TPS, Figure
from service.answers.exclusions import BoundExclusion
from service.answers.popular import PopularItems
from service.answers.selection import Rules, Selection, select
from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.item import CatalogRow
from service.catalog.ports import CatalogSource, ItemCatalog
from service.clock import SystemClock
from tests.support.ports import free_port
from tests.support.processes import Process, configuration, local_personalize, running

ITEMS = 1_000_000
LARGE_ITEMS = 5_000_000
READY_SECONDS = 25.0
FIRST_SECONDS = 9.0
RESTART_SECONDS = 1.5
TOUCHED_SECONDS = 0.5
CHANGED_SECONDS = 4.0
CHANGED_SHARE = 0.02
RESIDENT_MB = 400.0
LOOKUP_MS = 1.0
RATIO = 3.0

MISSES_PER_SECOND = 100
IDS = 25
LOOKUPS = 5_000
WARM_SECONDS = 5.0
BEFORE_SECONDS = 15.0
START_SECONDS = 240.0
RELOAD_SECONDS = 120.0
WITH_LISTS = 2_000
"""Items that the local Personalize recommends, from all over the catalogue."""

_CHUNK_ROWS = 10_000
_HEADER = "id,url,name,price,image,category,brand,stock,description\n"
_WORDS = (
    "linen",
    "oak",
    "copper",
    "quiet",
    "double",
    "small",
    "northern",
    "winter",
    "round",
    "soft",
    "steel",
    "garden",
)


def write_catalog(path: Path, items: int, *, seed: int = 1, prices: int = 1) -> Path:
    """Items with random UUIDs as ids, about 300 bytes each, as gzip'ed CSV; `prices` changes only these."""
    ids = _ids(items, seed)
    rng = random.Random(prices)
    texts = [" ".join(rng.choices(_WORDS, k=14)) for _ in range(500)]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(_HEADER.encode())
        while chunk := list(islice(ids, _CHUNK_ROWS)):
            file.write("".join(_row(one, rng.random(), texts) for one in chunk).encode())
    return path


def touch(path: Path) -> None:
    """The same bytes in another file, as copying or unpacking it again leaves them."""
    fresh = path.with_suffix(".touched")
    fresh.write_bytes(path.read_bytes())
    fresh.replace(path)


def change(path: Path, share: float, *, seed: int) -> None:
    """Other prices in a share of the rows, anywhere in the file."""
    rng = random.Random(seed)
    fresh = path.with_suffix(".changed")
    with (
        gzip.open(path, "rt", encoding="utf-8") as old,
        gzip.open(fresh, "wt", compresslevel=1, encoding="utf-8") as new,
    ):
        for line in old:
            cells = line.split(",")
            if rng.random() < share and cells[0] != "id":
                cells[3] = f"{rng.randrange(100, 100_000) / 100:.2f}"
            new.write(",".join(cells))
    fresh.replace(path)


def _row(item_id: str, chance: float, texts: Sequence[str]) -> str:
    number = int(chance * 100_000)
    text = texts[number % len(texts)]
    return (
        f"{item_id},https://shop.example.com/product/{item_id},{text[:24]} {number},{number / 100 + 1:.2f},"
        f"https://cdn.example.com/{item_id}.jpg,category {number % 40},brand {number % 300},{number % 90},{text}\n"
    )


def _ids(items: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(items):
        text = f"{rng.getrandbits(128):032x}"
        yield f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def write_interactions(folder: Path, ids: Sequence[str]) -> Path:
    """What a local Personalize learns from, so that it recommends items of the catalogue."""
    folder.mkdir()
    rng = random.Random(3)
    with (folder / "interactions.csv").open("w", encoding="utf-8") as file:
        file.write("USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n")
        for number in range(20 * len(ids)):
            file.write(f"u{number % 1000},{rng.choice(ids)},View,{1_700_000_000 + number}\n")
    return folder


class _Builders:
    """The processes that read catalogues, as far as they descend from this one; looked at ten times a second."""

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self.alive = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            found = [peak for pid in _descendants(os.getpid()) if (peak := _peak_mib_of_builder(pid)) is not None]
            self.alive = bool(found)
            self.peak_mib = max(self.peak_mib, *found, 0.0)


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(child) for child in children.read_text("utf-8").split()]
        except OSError:
            continue  # it has ended
        for child in pids:
            yield child
            yield from _descendants(child)


def _peak_mib_of_builder(pid: int) -> float | None:
    try:
        if b"service.catalog.reading.child" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return None
        return int(Path(f"/proc/{pid}/status").read_text("utf-8").split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return None  # it has ended


@contextmanager
def _catalog(path: Path, data_dir: Path) -> Iterator[ItemCatalog]:
    """The catalogue as the service opens it, in this process."""

    async def load() -> ItemCatalog:
        source = open_source(f"file://{path}", aws=AwsSession(), column_mapping={}, data_dir=data_dir)
        try:
            return await source.load(1)
        finally:
            await source.close()

    catalog = asyncio.run(load())
    yield catalog
    catalog.close()


def _file_mb() -> float:
    """The file that a catalogue of this process is read from."""
    descriptors = [path for path in Path("/proc/self/fd").iterdir() if "/kept-catalog-" in os.path.realpath(path)]
    return max((path.stat().st_size for path in descriptors), default=0) / 1e6


def _timed(rows: Callable[[Sequence[str]], object], samples: Sequence[Sequence[str]]) -> list[float]:
    """Milliseconds of each look-up, in order of size."""
    taken = []
    for ids in samples:
        began = time.perf_counter()
        rows(ids)
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def _samples(ids: Sequence[str], seed: int) -> list[list[str]]:
    rng = random.Random(seed)
    return [[ids[rng.randrange(len(ids))] for _ in range(IDS)] for _ in range(LOOKUPS)]


def turns(name: str, folder: Path, items: int, repeats: int) -> Iterator[Figure]:
    """What this process and its child take to open a catalogue at first, again, when touched, and when changed.

    One turn after the other, so that other work on the machine slows all of them; processor time counts the child's.
    """
    took: dict[str, list[tuple[float, float]]] = {"first build": [], "restart": [], "touched": [], "2 % changed": []}
    for turn in range(repeats):
        path, data_dir = write_catalog(folder / "turns.csv.gz", items, prices=turn + 10), folder / f"turns{turn}"

        async def opened(source: CatalogSource) -> None:
            (await source.load(1)).close()

        async def looked(source: CatalogSource) -> None:
            before = source.loaded_version
            if await source.version() != before:
                await opened(source)

        def replica(path: Path = path, data_dir: Path = data_dir) -> CatalogSource:
            return open_source(f"file://{path}", aws=AwsSession(), column_mapping={}, data_dir=data_dir)

        took["first build"].append(_cost(opened(replica())))
        source = replica()
        took["restart"].append(_cost(opened(source)))
        touch(path)
        took["touched"].append(_cost(looked(source)))
        change(path, CHANGED_SHARE, seed=turn)
        took["2 % changed"].append(_cost(looked(source)))
    limits = dict(zip(took, (FIRST_SECONDS, RESTART_SECONDS, TOUCHED_SECONDS, CHANGED_SECONDS), strict=True))
    whole = min(cpu for _, cpu in took["first build"])
    for what, costs in took.items():
        cpu = min(one for _, one in costs)
        detail = f"{min(one for one, _ in costs):.2f} s by the clock; {cpu / whole:.2f} of a first build"
        promise = f"<= {limits[what]:g} s" if items <= ITEMS else ""
        yield Figure(f"{name}: CPU of {what}", cpu, "s", promise, cpu <= limits[what] if promise else None, detail)


def _cost(opening: Coroutine[object, object, None]) -> tuple[float, float]:
    """Seconds by the clock and of processors, those of children that ended meanwhile included."""
    began, before = time.monotonic(), os.times()
    asyncio.run(opening)
    after = os.times()
    return time.monotonic() - began, sum(after[:4]) - sum(before[:4])


def lookups(name: str, path: Path, ids: Sequence[str], data_dir: Path, repeats: int) -> list[Figure]:
    """Random ids, and the popular list when nothing has been learnt yet, in a process that does nothing else."""
    with _catalog(path, data_dir) as catalog:
        began = time.perf_counter()
        popular = Selection()
        select(
            popular, PopularItems((), SystemClock()).ids(catalog), Rules(catalog=catalog, exclude=(), blocked=()), 100
        )
        first = (time.perf_counter() - began) * 1000
        began = time.perf_counter()
        none = Rules(
            catalog=catalog, exclude=(), blocked=(), exclusion=BoundExclusion(lambda *_: False, lambda _: False)
        )
        select(Selection(), PopularItems((), SystemClock()).ids(catalog), none, 100)
        nothing = (time.perf_counter() - began) * 1000
        runs = [_timed(catalog.rows, _samples(ids, seed)) for seed in range(repeats)]
        file_mb = _file_mb()
    p99 = min(run[LOOKUPS * 99 // 100] for run in runs)
    p50 = min(run[LOOKUPS // 2] for run in runs)
    return [
        Figure(f"{name}: file", file_mb, "MB"),
        Figure(f"{name}: look-up of {IDS} random ids, p50", p50, "ms"),
        Figure(f"{name}: look-up of {IDS} random ids, p99", p99, "ms", f"<= {LOOKUP_MS:g} ms", p99 <= LOOKUP_MS),
        Figure(f"{name}: first popular list, nothing learnt", first, "ms", detail=f"{len(popular.rows)} items"),
        Figure(f"{name}: the same when a request's filter lets nothing through", nothing, "ms"),
    ]


@contextmanager
def _replica(personalize: Process | None, path: Path, data_dir: Path) -> Iterator[Process]:
    port = free_port()
    environment = configuration(
        personalize,
        catalog=path,
        HOST="127.0.0.1",
        PORT=str(port),
        DATA_DIR=str(data_dir),
        CATALOG_REFRESH_SECONDS="3600",
        PERSONALIZE_TPS=str(PERSONALIZE_TPS),
        ACCESS_LOG_SAMPLE="0",
    )
    command = [sys.executable, "-m", "service", "serve"]
    with running(command, port=port, probe="/readyz", environment=environment, start_seconds=START_SECONDS) as replica:
        yield replica


def _ready(name: str, replicas: Sequence["_Start"], *, promised: bool) -> list[Figure]:
    best = min(replicas, key=lambda one: one.seconds)
    seconds, mb = best.seconds, max(one.peak_mb for one in replicas)
    children = max(one.builder_mb for one in replicas)
    times = ", ".join(f"{one.seconds:.1f}" for one in replicas)
    limits = (READY_SECONDS, RESIDENT_MB)
    return [
        Figure(
            f"{name}: start to ready",
            seconds,
            "s",
            f"<= {limits[0]:g} s" if promised else "",
            seconds <= limits[0] if promised else None,
            f"of {times}",
        ),
        Figure(f"{name}: resident when ready", statistics.median(one.resident_mb for one in replicas), "MB"),
        Figure(f"{name}: peak of the serving process", mb, "MB"),
        Figure(f"{name}: peak of the process that reads it", children, "MB"),
        Figure(
            f"{name}: both peaks together",
            mb + children,
            "MB",
            f"<= {limits[1]:g} MB" if promised else "",
            mb + children <= limits[1] if promised else None,
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Start:
    seconds: float
    resident_mb: float
    peak_mb: float
    builder_mb: float


def _started(replica: Process, builders: _Builders) -> _Start:
    mega = 2**20 / 1e6
    return _Start(
        replica.ready_seconds, replica.resident_mib() * mega, replica.peak_mib() * mega, builders.peak_mib * mega
    )


@dataclass(frozen=True, slots=True)
class _Reload:
    before: Load
    meanwhile: Load
    ratio: float
    seconds: float


def _reload(replica: Process, new: Path, path: Path, turn: int, builders: _Builders) -> _Reload:
    """Misses without and with a reload under way.

    Raises:
        RuntimeError: The new catalogue did not become active.
    """

    def misses(prefix: str, seconds: float, over: Callable[[], bool] = lambda: False) -> Load:
        return paced(
            replica.port,
            lambda number: f"{prefix}{turn}x{number}",
            per_second=MISSES_PER_SECOND,
            connections=64,
            seconds=seconds,
            over=over,
        )

    misses("w", WARM_SECONDS)
    without = misses("a", BEFORE_SECONDS)
    before = _loaded_at(replica)
    new.replace(path)
    over = threading.Event()
    took: list[float] = []

    def reload() -> None:
        began = time.monotonic()
        replica.popen.send_signal(signal.SIGHUP)
        # It is seen in the process list: asking the replica would itself be load.
        seen = False
        while time.monotonic() - began < RELOAD_SECONDS and not (seen and not builders.alive):
            seen = seen or builders.alive
            time.sleep(0.05)
        took.append(time.monotonic() - began)
        over.set()

    thread = threading.Thread(target=reload)
    thread.start()
    meanwhile = misses("b", RELOAD_SECONDS, over.is_set)
    thread.join()
    if _loaded_at(replica) <= before:
        raise RuntimeError("the catalogue was not reloaded")
    return _Reload(without, meanwhile, meanwhile.p99_ms / without.p99_ms, took[0])


def _loaded_at(replica: Process) -> float:
    with urllib.request.urlopen(f"{replica.url}/metrics", timeout=10) as answer:  # noqa: S310  # loopback only
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("catalog_loaded_timestamp_seconds "))


def _reload_figures(
    name: str, reloads: Sequence[_Reload], start: _Start, peak_mb: float, builder_mb: float
) -> list[Figure]:
    failed = sum(one.before.failed + one.meanwhile.failed for one in reloads)
    answers = sum(one.meanwhile.answers for one in reloads)
    best = min(reloads, key=lambda one: one.ratio)
    ratios = ", ".join(f"{one.ratio:.2f}" for one in reloads)
    what = f"reload of {name} at {MISSES_PER_SECOND} misses/s"
    return [
        Figure(f"{what}: failed", failed, "calls", "0", failed == 0, f"of {answers} during reloads"),
        Figure(f"{what}: p99 before", best.before.p99_ms, "ms", detail=f"p50 {best.before.p50_ms:.1f} ms"),
        Figure(f"{what}: p99 meanwhile", best.meanwhile.p99_ms, "ms", detail=f"p50 {best.meanwhile.p50_ms:.1f} ms"),
        Figure(f"{what}: the second / the first", best.ratio, "", f"<= {RATIO:g}", best.ratio <= RATIO, f"of {ratios}"),
        Figure(f"{what}: slowest", max(one.meanwhile.slowest_ms for one in reloads), "ms"),
        Figure(f"{what}: until active", statistics.median(one.seconds for one in reloads), "s"),
        Figure(f"{what}: peak of the serving process", peak_mb, "MB", detail=f"{start.resident_mb:.0f} MB before"),
        Figure(f"{what}: peak of the process that reads it", builder_mb, "MB"),
    ]


def small(repeats: int) -> list[Figure]:
    """The retail catalogue against a plain dict of rows that are made already."""
    path = DATA / "items.csv"
    with path.open(newline="", encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    with tempfile.TemporaryDirectory() as folder, _catalog(path, Path(folder)) as catalog:
        plain: dict[str, CatalogRow | None] = dict(zip(ids, catalog.rows(ids), strict=True))
        turns = []
        for seed in range(repeats):
            samples = _samples(ids, seed)
            ours = _timed(catalog.rows, samples)
            bare = _timed(lambda wanted: [plain.get(one) for one in wanted], samples)
            turns.append((ours[LOOKUPS // 2] * 1000, ours[LOOKUPS * 99 // 100] * 1000, bare[LOOKUPS // 2] * 1000))
        name = f"{len(ids):,} items ({type(catalog).__name__})"
    p50, p99, bare_p50 = min(turns)
    return [
        Figure(f"{name}: look-up of {IDS} ids, p50", p50, "us", detail=f"p99 {p99:.1f} us"),
        Figure("a dict of finished rows: the same, p50", bare_p50, "us"),
    ]


def measured(items: int, large: int, repeats: int) -> Iterator[Figure]:
    """All figures, each as soon as it is there."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if hasattr(os, "sched_setaffinity"):
            # A reload needs a processor beside the one that serves.
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            stack.callback(os.sched_setaffinity, 0, before)
        yield from small(repeats)
        yield from _million(folder, items, repeats)
        if large:
            yield from _large(folder, large)


def _million(folder: Path, items: int, repeats: int) -> Iterator[Figure]:
    name = f"{items:,}"
    path = write_catalog(folder / "items.csv.gz", items)
    ids = list(_ids(items, 1))
    yield from turns(name, folder, items, repeats)
    yield from lookups(name, path, ids, folder / "data", repeats)
    shown = random.Random(2).sample(ids, min(items, WITH_LISTS))
    del ids
    starts = []
    with local_personalize(write_interactions(folder / "personalize", shown), latency_ms=LATENCY_MS) as personalize:
        for number in range(repeats - 1):
            with _Builders() as builders, _replica(personalize, path, folder / f"data{number}") as replica:
                starts.append(_started(replica, builders))
        with ExitStack() as stack:
            starting = stack.enter_context(_Builders())
            with _replica(personalize, path, folder / "fresh") as replica:
                starts.append(_started(replica, starting))
            replica = stack.enter_context(_replica(personalize, path, folder / "fresh"))
            again = replica.ready_seconds
            yield from _ready(name, starts, promised=items <= ITEMS)
            yield Figure(f"{name}: start to ready again, with the file of the last one", again, "s")
            reloads = []
            reading = stack.enter_context(_Builders())
            for turn in range(repeats):
                new = write_catalog(folder / "new.csv.gz", items, prices=turn + 2)
                reloads.append(_reload(replica, new, path, turn, reading))
            mega = 2**20 / 1e6
            yield from _reload_figures(name, reloads, starts[-1], replica.peak_mib() * mega, reading.peak_mib * mega)
    path.unlink()


def _large(folder: Path, items: int) -> Iterator[Figure]:
    name = f"{items:,}"
    path = write_catalog(folder / "large.csv.gz", items)
    with _Builders() as builders, _replica(None, path, folder / "large") as replica:
        start = _started(replica, builders)
    yield from _ready(name, [start], promised=False)
    ids = list(_ids(items, 1))
    yield from lookups(name, path, ids, folder / "large", 1)


def catalog(repeats: int) -> list[Figure]:
    """For `python -m bench`."""
    return list(measured(ITEMS, LARGE_ITEMS, repeats))


def catalog_turns(repeats: int) -> list[Figure]:
    """What a million rows cost at first, again, touched and changed; for `python -m bench`."""
    with tempfile.TemporaryDirectory() as folder:
        return list(turns(f"{ITEMS:,}", Path(folder), ITEMS, repeats))


@click.command()
@click.option("--items", default=ITEMS, show_default=True, help="Of the catalogue that is reloaded too.")
@click.option("--large", default=LARGE_ITEMS, show_default=True, help="Of the one that is only started on; 0 for none.")
@click.option("--repeats", default=3, show_default=True)
def main(items: int, large: int, repeats: int) -> None:
    """Measure, print, and exit with 1 when a promise is not kept."""
    kept = True
    for figure in measured(items, large, repeats):
        print(figure.line(), flush=True)
        kept &= figure.kept is not False
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
