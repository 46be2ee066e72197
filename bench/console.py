"""What the console costs those who call: the same calls to a replica with it and to one without, in turns."""

import statistics
from contextlib import ExitStack
from typing import Final

from bench.quiet_machine import Quiet
from bench.speed import DATA, LOAD_CORE, Answers, Figure, answers, flooded, misses_only, replica_of, warm
from tests.support.processes import local_personalize

ACCESSES: Final = {"without": "off", "with": "open"}


def console(repeats: int) -> list[Figure]:
    """The ratio of what a hit, and a call without a list, costs with the console and without."""
    with ExitStack() as stack:
        personalize = stack.enter_context(local_personalize(DATA, core=LOAD_CORE))
        replicas = {
            name: stack.enter_context(replica_of(personalize, CONSOLE_ACCESS=access))
            for name, access in ACCESSES.items()
        }
        for replica in replicas.values():
            warm(replica)

        def turn(number: int) -> dict[tuple[str, str], Answers]:
            # The other way round in every second turn, so that neither comes first each time.
            order = list(replicas.items())[:: 1 if number % 2 else -1]
            done = {}
            for name, replica in order:
                done["a hit", name] = flooded(replica, connections=32, seconds=1)
                done["a miss", name] = answers(replica, lambda one=replica: misses_only(one, f"t{number}-", 1))  # type: ignore[misc]  # bound early
            return done

        turns = Quiet[dict[tuple[str, str], Answers]]([*replicas.values(), personalize]).turns(repeats, turn)
        resident = {name: replica.resident_mib() for name, replica in replicas.items()}
    figures = []
    for what in ("a hit", "a miss"):
        ratios = sorted(one[what, "with"].cpu_us / one[what, "without"].cpu_us for one in turns)
        ratio = statistics.median(ratios)
        cost = statistics.median(one[what, "with"].cpu_us for one in turns)
        span = f"{ratios[0]:.2f} to {ratios[-1]:.2f}; {cost:.0f} us of CPU each"
        figures.append(Figure(f"CPU of {what} with the console / without", ratio, "", "<= 1.05", ratio <= 1.05, span))
    more = resident["with"] - resident["without"]
    figures.append(Figure("memory of the console", more, "MiB", detail="it has shown no page"))
    return figures
