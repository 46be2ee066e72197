"""Measuring on a machine that does other work too: turns are measured again when something else ran meanwhile."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tests.support.processes import Process

Result = TypeVar("Result")

QUIET_SHARE = 0.1
"""Of one core; what other processes may use during a turn that counts as undisturbed."""

PATIENCE_SECONDS = 60.0
"""A run waits at most so long, all together, for other work to end before a turn."""

_LOOK_SECONDS = 0.3


def busy_seconds() -> float:
    """Processor time that all cores have spent on anything, time stolen by the host included."""
    cpu = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, cpu[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Quiet(Generic[Result]):
    """Measures in turns and keeps those that were disturbed least.

    Attributes:
        servers: The processes of ours, besides this one and its children that have ended.
    """

    servers: Sequence[Process]
    shares: list[float] = field(default_factory=list)
    """What other processes used of one core during each turn that was kept."""

    def turns(self, repeats: int, measure: Callable[[int], Result]) -> list[Result]:
        """The results; at most twice as many turns are measured for them."""
        done: list[tuple[float, int, Result]] = []
        while len(done) < 2 * repeats and sum(share <= QUIET_SHARE for share, _, _ in done) < repeats:
            _wait_for_quiet()
            began, others = time.monotonic(), self._others_seconds()
            result = measure(len(done))
            share = (self._others_seconds() - others) / (time.monotonic() - began)
            done.append((share, len(done), result))
        kept = sorted(done, key=lambda turn: turn[:2])[:repeats]
        self.shares += [share for share, _, _ in kept]
        return [result for _, _, result in kept]

    def __str__(self) -> str:
        return f"other work took {statistics.median(self.shares):.0%} of a core"

    def _others_seconds(self) -> float:
        used = os.times()
        ours = used.user + used.system + used.children_user + used.children_system
        return busy_seconds() - ours - sum(server.cpu_seconds() for server in self.servers)


_patience = PATIENCE_SECONDS


def _wait_for_quiet() -> None:
    global _patience  # noqa: PLW0603  # one purse for the whole run
    while _patience > 0:
        busy = busy_seconds()
        time.sleep(_LOOK_SECONDS)
        if busy_seconds() - busy <= QUIET_SHARE * _LOOK_SECONDS:
            return
        _patience -= _LOOK_SECONDS
