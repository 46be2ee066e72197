"""What known events cost in Redis: 1,000,000 users with 20 events each, of items with ids of 36 characters.

`python -m bench.events_memory` fills a Redis of its own and asks it. The users are written by a twin of the script, and
one of them by the store itself: both must have written the same bytes. Then the same with the ids of a day's events, by
which an event that comes again is known. Exit status 1 if users take more than 400 MB, or a day's ids more than 300.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from pathlib import Path
from struct import pack
from typing import Any

import click

from service.clock import SystemClock
from service.events.adapters.known_codec import digest_of, digest_of_kind
from service.events.adapters.redis import KEEP_SECONDS, MAX_SEEN_OF_A_SET, RedisEventStore
from service.events.event import Event
from service.lists.keys import UserPrefix
from tests.support.fleet import join
from tests.support.redis import RedisServer

PREFIX = "pc:{0123456789abcdef}"
TYPES = ("Purchase", "View", "Cart")
MAX_MB = 400
MAX_IDS_MB = 300
SETS = 65_536
"""Of a day's ids."""

AT_ONCE = 5_000


def events_of(user: int, items: list[str], count: int) -> dict[str, list[tuple[str, int]]]:
    """A user's events by type, the oldest first."""
    chance = random.Random(user)
    found: dict[str, list[tuple[str, int]]] = {}
    for place, item in enumerate(chance.sample(items, count)):
        found.setdefault(TYPES[place % len(TYPES)], []).append((item, 1_750_000_000 + 1_000 * place))
    return found


def packed(events: dict[str, list[tuple[str, int]]], digests: dict[str, bytes]) -> bytes:
    """What `accept.lua` keeps of them."""
    parts = []
    for kind, listed in events.items():
        entries = b"".join(digests[item] + pack(">I", at) for item, at in listed)
        parts.append(digest_of_kind(kind) + bytes([len(listed)]) + entries)
    return b"".join(parts)


async def by_the_store(server: RedisServer, user: int, events: dict[str, list[tuple[str, int]]]) -> tuple[bytes, float]:
    """What the store itself keeps of a user, and the bytes that an event takes besides until it has ended."""
    async with join(server.url, SystemClock()) as member:
        store = RedisEventStore(
            member.client, prefix=PREFIX, replica="r", clock=SystemClock(), sends_on=True, keep_seconds=0
        )
        prefix = UserPrefix(user.to_bytes(8))
        listed = [
            Event(kind, f"user{user}", "s", float(at), f"{kind}-{item}", item)
            for kind, found in events.items()
            for item, at in found
        ]
        await store.accept([(prefix, event) for event in listed])
    value = bytes(server.ask("GET", f"{PREFIX}:k:".encode() + prefix))
    stream = int(server.ask("MEMORY", "USAGE", f"{PREFIX}:events", "SAMPLES", 0)) / len(listed)
    return value, stream


def measure(users: int, events: int, items: int) -> dict[str, Any]:
    """Fill a Redis, and ask it."""
    ids = [str(uuid.UUID(int=random.Random(number).getrandbits(128))) for number in range(items)]
    digests = {item: digest_of(item) for item in ids}
    began = time.monotonic()
    with RedisServer() as server:
        value, stream_bytes = asyncio.run(by_the_store(server, 0, events_of(0, ids, events)))
        same = value == packed(events_of(0, ids, events), digests)
        server.ask("FLUSHALL")
        client = server.client()
        empty = client.info("memory")["used_memory"]
        for first in range(0, items, AT_ONCE):
            client.hset(f"{PREFIX}:items", mapping={digests[one]: one for one in ids[first : first + AT_ONCE]})
        names = client.info("memory")["used_memory"] - empty
        for first in range(0, users, AT_ONCE):
            with client.pipeline(transaction=False) as pipe:
                for user in range(first, min(users, first + AT_ONCE)):
                    key = f"{PREFIX}:k:".encode() + user.to_bytes(8)
                    pipe.set(key, packed(events_of(user, ids, events), digests), ex=KEEP_SECONDS)
                pipe.execute()
        used = client.info("memory")["used_memory"] - empty
        client.close()
    return {
        "users": users,
        "events_of_a_user": events,
        "items": items,
        "mb": round(used / 1e6, 1),
        "mb_of_names": round(names / 1e6, 1),
        "bytes_of_a_user": round((used - names) / users, 1),
        "stream_bytes_of_an_event": round(stream_bytes),
        "written_as_the_store_does": same,
        "seconds": round(time.monotonic() - began, 1),
    }


def measure_ids(ids: int) -> dict[str, Any]:
    """What the ids of one day's events take: as many as asked for, and as many as are ever kept.

    A sixteenth of the sets is filled: which one an id goes to is chance.
    """
    found: dict[str, Any] = {"ids": ids}
    with RedisServer() as server:
        client = server.client()
        for name, count in (("mb_of_ids", ids), ("mb_of_a_full_day", MAX_SEEN_OF_A_SET * SETS)):
            server.ask("FLUSHALL")
            empty = client.info("memory")["used_memory"]
            numbers = random.Random(17)
            for shard in range(SETS // 16):
                with client.pipeline(transaction=False) as pipe:
                    key = f"{PREFIX}:seen:20000:{shard:04x}"
                    pipe.sadd(key, *(numbers.getrandbits(64) - (1 << 63) for _ in range(max(1, round(count / SETS)))))
                    pipe.expire(key, KEEP_SECONDS)
                    pipe.execute()
            found[name] = round(16 * (client.info("memory")["used_memory"] - empty) / 1e6, 1)
        client.close()
    return found


@click.command()
@click.option("--users", default=1_000_000, show_default=True)
@click.option("--events", default=20, show_default=True, help="Of each user.")
@click.option("--items", default=100_000, show_default=True)
@click.option("--ids", default=2_000_000, show_default=True, help="Events of a day.")
@click.option("--out", default="build/events_memory.json", show_default=True)
def main(*, users: int, events: int, items: int, ids: int, out: str) -> None:
    """Fill a Redis with users' events, and say what they take."""
    figures = measure(users, events, items) | measure_ids(ids)
    kept = figures["mb"] <= MAX_MB * users / 1_000_000 and figures["written_as_the_store_does"]
    print(json.dumps(figures, indent=1))
    print(f"{'ok  ' if kept else 'FAIL'} {figures['mb']} MB, at most {MAX_MB} for a million users")
    few = figures["mb_of_a_full_day"] <= MAX_IDS_MB
    print(f"{'ok  ' if few else 'FAIL'} {figures['mb_of_a_full_day']} MB, at most {MAX_IDS_MB} for the ids of a day")
    Path(out).parent.mkdir(exist_ok=True)
    Path(out).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    sys.exit(0 if kept and few else 1)


if __name__ == "__main__":
    main()
