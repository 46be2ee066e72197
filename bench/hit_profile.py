"""What hits of every kind cost in one process, without sockets: `python -m bench.hit_profile [--profile NAME]`.

Requests go into the protocol as packets, and the processor time of this thread is counted. Every kind has its turn in
each round, so that other work on the machine slows all alike. Users have the lists that the local Personalize makes of
retail users.

With rules, the first hit of each list is measured by itself: what it finds out stays with the list.
"""

import argparse
import asyncio
import cProfile
import csv
import gc
import os
import pstats
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.server import ServerState

from bench.placements import NO_RULES, PLAIN, PREFIX, RULES, paths_of, placements_file
from bench.reference_server import raw
from bench.speed import DATA
from service.api.connections import Connections, hold_connections
from service.api.hit_lane import KINDS
from service.api.http_protocol import TolerantProtocol
from service.api.lifecycle import Services, asked_by
from service.api.query import parse_query
from service.lists.envelope import seal
from service.lists.ports import Outcome
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from service.main import create_app
from service.models import ItemList
from service.server import SERVER
from service.settings import load_settings

USERS: Final = 10_000
LISTS: Final = 500
"""That are different."""

LIST_ITEMS: Final = 25
ROUNDS: Final = 7
EACH: Final = 2_000
"""Requests of one kind in a round."""

RAW: Final = "raw ASGI"
FIRST: Final = ", first hits"
BALANCED: Final = ", load balancer"
"""The same, as a load balancer passes it on: with ten headers, of which one is another in each request."""


class _Sink(asyncio.Transport):
    """Forgets what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.latest = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.latest = bytes(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Nothing comes but what is put in."""

    def resume_reading(self) -> None:
        """Nothing comes but what is put in."""


def _connected(app: Any) -> tuple[TolerantProtocol, _Sink]:  # any ASGI application
    config = uvicorn.Config(app, **{**SERVER, "lifespan": "off"})
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Wed, 25 Nov 2026 20:00:00 GMT")]
    hold_connections(state, Connections(monotonic=time.monotonic))
    protocol, sink = TolerantProtocol(config, state, {}), _Sink()
    protocol.connection_made(sink)
    return protocol, sink


def _packet(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n".encode()


def _passed_on(packet: bytes) -> bytes:
    return packet[:-2] + (
        b"X-Forwarded-For: 54.1.2.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n"
        b"X-Amzn-Trace-Id: Root=1-67891233-%b\r\nUser-Agent: Braze Sender 1.0\r\nAccept: */*\r\n"
        b"Accept-Encoding: gzip\r\nConnection: keep-alive\r\nX-API-Key: %b\r\n\r\n"
    ) % (uuid.uuid4().hex.encode(), b"k" * 32)


async def _ask(protocol: TolerantProtocol, packets: list[bytes]) -> float:
    """Microseconds of this thread for each."""
    began = time.thread_time()
    for packet in packets:
        protocol.data_received(packet)
        while protocol._asking:  # noqa: ASYNC110, SLF001  # an event would cost what is to be measured
            await asyncio.sleep(0)
    return (time.thread_time() - began) / len(packets) * 1e6


def _retail_lists() -> list[list[str]]:
    model = learn(read_dataset(DATA))
    return [
        [item.item_id for item in model.recommend(f"{PREFIX}{number}", count=LIST_ITEMS)] for number in range(LISTS)
    ]


def _fill(services: Services, path: str, lists: Sequence[list[str]], users: Iterable[int] | None = None) -> None:
    """Have a list of 25 items for each user, or one for the item, or the given items in some order."""
    rng = random.Random(20)
    route, _, query = path.partition("?")
    learns = users is None
    for number in users or range(USERS):
        asked = asked_by(services, parse_query(f"{query}u{number}".encode(), KINDS[route]), 0.0)
        assert asked.key is not None
        chosen = list(asked.query.item_ids)
        rng.shuffle(chosen)
        ranked = ItemList(tuple(chosen or lists[number % LISTS]), f"RID-{uuid.uuid4()}", time.time())
        asked.arm.lists.keep(asked.key, Outcome(seal(ranked), "personalize"))
        if learns and not chosen:
            # What fills up is what was recommended.
            asked.arm.assembly._popular.learn(ranked.item_ids)  # noqa: SLF001  # only a flight has it learn
        if asked.query.item_id:
            return


class _Packets:
    """Draws requests.

    Args:
        paths: What stands in front of a user's id, by the name of the kind.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._random = random.Random(21)

    def of(self, name: str, users: Iterable[int]) -> list[bytes]:
        """A request for each of the users."""
        return [_packet(f"{self._paths[name]}u{user}") for user in users]

    def some(self, name: str) -> list[bytes]:
        """For users drawn at random."""
        return self.of(name, [self._random.randrange(USERS) for _ in range(EACH)])

    def users(self) -> list[int]:
        """Different ones."""
        return self._random.sample(range(USERS), EACH)


async def _measured(ids: list[str], profiled: str | None) -> dict[str, list[float]]:
    app = create_app(load_settings())
    paths, lists = paths_of(ids), _retail_lists()
    packets = _Packets(paths)
    async with app.application.router.lifespan_context(app.application):
        services = app.lifecycle.services
        for name, path in paths.items():
            # Rules change no list.
            if name not in RULES:
                _fill(services, path, lists)
        protocol, sink = _connected(app)
        raws: dict[str, TolerantProtocol] = {}
        for name in paths:
            await _ask(protocol, packets.of(name, range(USERS)))
            head, _, body = sink.latest.partition(b"\r\n\r\n")
            names_and_values = (line.split(b": ", 1) for line in head.split(b"\r\n")[2:])
            raws[name] = _connected(raw([(name, value) for name, value in names_and_values], body))[0]
        if profiled is not None:
            some, profile = packets.some(profiled), cProfile.Profile()
            profile.enable()
            await _ask(protocol, some)
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
            return {}
        gc.collect()
        gc.freeze()
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, cost in (await _round(protocol, raws, packets, paths)).items():
                found.setdefault(name, []).append(cost)
            for name in RULES:
                users = packets.users()
                _fill(services, paths[PLAIN], lists, users)
                found.setdefault(f"{name}{FIRST}", []).append(await _ask(protocol, packets.of(name, users)))
    return found


async def _round(
    protocol: TolerantProtocol, raws: Mapping[str, TolerantProtocol], packets: _Packets, paths: Iterable[str]
) -> dict[str, float]:
    """What later hits cost."""
    costs = {}
    for name in paths:
        some = packets.some(name)
        if name in KINDS:
            costs[f"{RAW} {name}"] = await _ask(raws[name], some)
        # Lists of the former round's first hits are new to the others.
        await _ask(protocol, some)
        costs[name] = await _ask(protocol, some)
    passed_on = [_passed_on(packet) for packet in packets.some(PLAIN)]
    costs[f"{RAW} {PLAIN}{BALANCED}"] = await _ask(raws[PLAIN], passed_on)
    costs[f"{PLAIN}{BALANCED}"] = await _ask(protocol, passed_on)
    return costs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.hit_profile", description=__doc__)
    parser.add_argument("--profile", metavar="KIND", help="where the time of one kind goes, by function")
    options = parser.parse_args()
    with (DATA / "items.csv").open(newline="", encoding="utf-8") as rows:
        ids = [row["id"] for row in csv.DictReader(rows)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "placements.toml"
        file.write_text(placements_file(ids[-1]), "utf-8")
        os.environ.update(
            PLACEMENTS_FILE=str(file),
            CATALOG_URL=f"file://{DATA / 'items.csv'}",
            DATA_DIR=folder,
            ALLOW_ANONYMOUS="true",
            ACCESS_LOG_SAMPLE="0",
            CACHE_FRESH_SECONDS="86400",
            CACHE_MAX_MB="512",
            AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="local",
            AWS_SECRET_ACCESS_KEY="local",  # noqa: S106  # nobody's
            AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME="http://127.0.0.1:9",
        )
        found = uvloop.run(_measured(ids, options.profile))
    for name, costs in found.items():
        of = f"{NO_RULES}{FIRST}" if name.endswith(FIRST) else NO_RULES if name in RULES else f"{RAW} {name}"
        others = found.get(of, costs)
        ratio = statistics.median(cost / other for cost, other in zip(costs, others, strict=True))
        print(f"{name:<42}{min(costs):8.1f}{statistics.median(costs):8.1f} us {ratio:8.2f}")
    if found:
        print("least and median; of raw ASGI, or of a hit without rules: the median of ratios within a round")


if __name__ == "__main__":
    main()
