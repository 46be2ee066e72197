"""`python -m tests.simulation --seeds N`: N worlds, and whether every promise held in each of them.

A seed that fails is printed with what it broke and the fewest happenings that break it; `--first SEED --seeds 1` plays
it again, the same. `--new 20` plays 20 more, which are others with each change of the service. `--fault K3` puts an old
fault back, and says after how many seeds a promise broke; `--faults` does so with all of them. `--day` plays a whole
day, the seed of `--first`, and prints its figures.
"""

import argparse
import multiprocessing
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from tests.simulation.day import DAY, Day, figures, plan_of_a_day, unrest
from tests.simulation.jobs import Result, be_quiet, play_job
from tests.simulation.plan import REPLICAS, SECONDS, Plan
from tests.simulation.world import play
from tools.mutants.checkout import Change, Checkout, DoesNotApplyError, Mutant, pytest_arguments

FAULTS: Final = Path(__file__).with_name("faults.toml")
SERVICE: Final = Path(__file__).parents[2] / "service"
MAX_SEEDS_OF_A_FAULT: Final = 500

PLAYED: Final = 10_000
"""So many first seeds were played; new ones come after them."""


def main() -> int:
    """Exit status 1 if a promise was broken, or if a fault was not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--new", type=int, default=0, help="so many more, others with each change of the service")
    parser.add_argument("--replicas", type=int, default=REPLICAS)
    parser.add_argument("--minutes", type=float, default=SECONDS / 60, help="of each world")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="worlds in which this happens")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first seed that breaks a promise")
    parser.add_argument("--fault", action="append", default=[], help="put this fault back")
    parser.add_argument("--faults", action="store_true", help="each of them")
    parser.add_argument("--day", action="store_true", help="play a day of a shop, and print its figures")
    options = parser.parse_args()
    if options.day:
        return _play_a_day(options.first)
    if options.fault or options.faults:
        return _with_faults(options.fault, options.workers)
    began = time.monotonic()
    sources: Counter[str] = Counter()
    worlds = broken = 0
    cpu_seconds = 0.0
    for seed, lines, counted, spent in _worlds(options):
        worlds += 1
        sources += counted
        cpu_seconds += spent
        if lines:
            broken += 1
            print(f"seed {seed}", *lines, sep="\n  ", flush=True)
            if options.until_broken:
                break
    minutes = worlds * options.minutes
    print(
        f"{worlds} worlds of {options.minutes:g} minutes with {options.replicas} replicas in"
        f" {time.monotonic() - began:.0f} s, {broken} with a broken promise;"
        f" {minutes / max(cpu_seconds, 1e-9):.1f} simulated minutes in a CPU second"
    )
    print(", ".join(f"{source} {count}" for source, count in sources.most_common()))
    return int(broken > 0)


def _play_a_day(seed: int) -> int:
    be_quiet()
    day = play(plan_of_a_day(seed), DAY, Day)
    assert isinstance(day, Day)
    problems = [*day.broken, *unrest(day.marks)]
    print(*figures(day), *(problems or ["every promise held, and all came to rest"]), sep="\n")
    return int(bool(problems))


def _worlds(options: argparse.Namespace) -> Iterator[Result]:
    seconds = options.minutes * 60
    jobs = [
        (seed, options.replicas, seconds)
        for seed in (*range(options.first, options.first + options.seeds), *_new_seeds(options.new))
        if not options.only or Plan.of(seed, options.replicas, seconds).of_kinds(options.only)
    ]
    if options.workers == 1:
        be_quiet()
        yield from map(play_job, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(options.workers, be_quiet) as pool:
        yield from pool.imap_unordered(play_job, jobs, chunksize=8)


def _new_seeds(count: int) -> range:
    """Seeds that the code decides, so that a run that failed can be made again."""
    code = 0
    for path in sorted((*SERVICE.rglob("*.py"), *SERVICE.rglob("*.lua"))):
        code = crc32(path.read_bytes(), code)
    return range(PLAYED + code, PLAYED + code + count)


def faults() -> list[Mutant]:
    """Faults that the service once had."""
    found: dict[str, Any] = tomllib.loads(FAULTS.read_text("utf-8"))
    return [
        Mutant(
            name,
            tuple(Change(**change) for change in fault["changes"]),
            tuple(fault["tests"]) if "tests" in fault else ("--only", fault["needs"]) if "needs" in fault else (),
            why=fault["what"],
        )
        for name, fault in found.items()
    ]


def _with_faults(names: list[str], workers: int) -> int:
    wanted = [one for one in faults() if not names or one.name in names]
    with ThreadPoolExecutor(workers) as pool:
        lines = list(pool.map(_with_fault, wanted))
    return int(not all(lines))


def _with_fault(fault: Mutant) -> bool:
    in_worlds = not fault.tests or fault.tests[0] == "--only"
    command = ["-m", "tests.simulation", "--until-broken", "--seeds", str(MAX_SEEDS_OF_A_FAULT), *fault.tests]
    if not in_worlds:
        command = ["-m", "pytest", *pytest_arguments(fault.tests)]
    with Checkout() as checkout:
        try:
            checkout.put(fault)
        except DoesNotApplyError as error:
            print(f"{fault.name}: does not apply: {error}", flush=True)
            return False
        status, written = checkout.run(command, seconds=1800)
    lines = written.splitlines()
    if not in_worlds:
        failed = next((line for line in lines if line.startswith("FAILED ")), "")
        print(f"{fault.name} {'found by ' + failed[:150] if failed else 'NOT FOUND'}, {fault.why}", flush=True)
        return bool(failed)
    if status != 1 or not lines or not lines[0].startswith("seed "):
        print(f"{fault.name} NOT FOUND, {fault.why}: {lines[-2:] if lines else status}", flush=True)
        return False
    print(f"{fault.name} found by {lines[0]}, {fault.why}: {lines[1].strip()}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
