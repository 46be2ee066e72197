"""A service whose event loop is watched: how long one turn of it keeps everything else waiting, in processor time.

`python -m bench.loop_turns FILE` serves as `python -m service serve` does, and writes FILE when it ends. Processor time
and not wall time, so that what else the machine does hardly changes the figures.
"""

import asyncio
import json
import runpy
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from service.server import DrainingServer

TICK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Turns:
    """What a stretch of time was like for who had to wait for the loop."""

    longest_ms: float
    p99_ms: float
    """A hundredth of the processor time was in turns longer than this."""

    share_above_5_ms: float
    """Of the wall time."""


def turns_of(file: Path, begin: float, end: float) -> Turns:
    """The turns between two points on the monotonic clock, from what a watched service has written."""
    spent = sorted((seconds for at, seconds in json.loads(file.read_bytes()) if begin <= at < end), reverse=True)
    total, passed, p99 = sum(spent), 0.0, 0.0
    for p99 in spent:
        passed += p99
        if passed > total / 100:
            break
    above = sum(one for one in spent if one > 0.005) / (end - begin)
    return Turns(round(1000 * max(spent, default=0.0), 1), round(1000 * p99, 1), round(above, 4))


class Watch:
    """Notes the processor time of this thread at every tick, while it is on."""

    def __init__(self) -> None:
        self.turns: list[tuple[float, float]] = []
        self._before = time.thread_time()

    def start(self) -> None:
        """Begin, in the thread of a running loop."""
        self._before = time.thread_time()
        self._tick()

    def _tick(self) -> None:
        now = time.thread_time()
        self.turns.append((time.monotonic(), now - self._before))
        self._before = now
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)


class WatchedServer(DrainingServer):
    """A server that starts a watch as soon as it listens."""

    watch = Watch()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `DrainingServer.startup`."""
        await super().startup(sockets)
        self.watch.start()


def main(file: Path) -> None:
    """Serve, and write what was seen."""
    sys.argv = ["service", "serve"]
    sys.modules["service.server"].DrainingServer = WatchedServer  # type: ignore[attr-defined]  # what `serve` makes
    try:
        runpy.run_module("service", run_name="__main__")
    finally:
        file.write_text(json.dumps(WatchedServer.watch.turns), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
