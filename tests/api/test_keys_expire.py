"""Whatever the service keeps in Redis ends by itself, and not much later than it is of use."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from click.testing import CliRunner

from service.cli import main
from service.errors import RecommenderError
from tests.support.front_door import Door, OpenDoor
from tests.support.redis import RedisServer
from tests.support.waiting import until

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}
EVENTS = {"X-API-Key": "events-key-of-24-characters"}
DAY: Final = 86_400
KILLED: Final = 137
STALE_SECONDS: Final = 3 * DAY
SETTINGS = {
    "ADMIN_KEYS": ADMIN["X-API-Key"],
    "EVENT_KEYS": EVENTS["X-API-Key"],
    "CACHE_STALE_SECONDS": str(STALE_SECONDS),
    "PERSONALIZE_FILTER_ARN": "arn:aws:personalize:us-east-1:000000000000:filter/test",
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/similar",
    "SIMILAR_ITEMS_TPS": "100",
}

LASTS: Final[dict[str, float]] = {
    "list": STALE_SECONDS,
    "lists": STALE_SECONDS,
    "pin": 5,
    "send": 8 * DAY,
    "shown": 91 * DAY,
    "asked": 7 * DAY,
    "columns": 91 * DAY,
    "batch": STALE_SECONDS + DAY,
    "seen": 10 * DAY,
    "known": 91 * DAY,
    "fleet": 120,
}
"""Kinds of keys, and how many seconds they may last at most."""

BOUNDED: Final = ("blocked", "forgotten", "events", "items", "sets")
"""Kinds whose number is bounded, and which an operator, a replica or a load clears: they have no end of their own."""


@pytest.fixture
def shared(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_server.port) as client:
        yield client


def kind_of(key: bytes) -> str:
    """Of a key of this deployment, by what stands in its name."""
    parts = key.decode(errors="replace").split(":")
    for kind in ("fleet", "batch", "asked", "columns", "blocked", "forgotten", "seen", "send"):
        if kind in parts or f"{{{kind}}}" in parts:
            return "sets" if parts[-1] == "sets" else kind
    return "known" if "k" in parts else parts[-1]


def load_batch(path: Path) -> int:
    """The exit status of a load of one list."""
    line = {"input": {"userId": "ann"}, "output": {"recommendedItems": ["item001"], "scores": [0.5]}, "error": None}
    path.write_text(json.dumps(line) + "\n")
    return CliRunner().invoke(main, ["batch", "load", str(path)]).exit_code


def _killed(*_: object) -> int:
    raise SystemExit(KILLED)


async def use_everything(door: Door) -> None:
    """Leave a key of each kind behind."""
    blue = {"filter_values": json.dumps({"COLOR": "blue"})}
    for more in ({}, blue, {"send": "s1", "rotate": 1}):
        assert (await door.get("/recommendations", user_id="ann", **more)).status_code == 200
    assert (await door.get("/similar-items", item_id="item007")).status_code == 200
    door.personalize.failure = RecommenderError()
    assert (await door.get("/recommendations", user_id="bob")).headers["X-Degraded-Reason"]
    door.personalize.failure = None
    assert (await door.http.put("/items/item037/block", headers=ADMIN)).status_code == 200
    bought = {"userId": "ann", "eventList": [{"eventType": "Purchase", "itemId": "item003"}]}
    assert (await door.http.post("/events", json=bought, headers=EVENTS)).status_code == 202


async def test_every_key_ends_by_itself(
    open_door: OpenDoor, redis_server: RedisServer, shared: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(REDIS_URL=redis_server.url, **SETTINGS) as door:
        assert load_batch(tmp_path / "users.json.out") == 0
        # A second load dies before its end.
        monkeypatch.setattr("service.batch.adapters.redis.RedisBatchSets.switch", _killed)
        assert load_batch(tmp_path / "more.json.out") == KILLED
        await use_everything(door)
        await until(lambda: any(kind_of(key) == "lists" for key in shared.scan_iter(count=1000)))
        found: dict[str, float] = {}
        for key in shared.scan_iter(count=1000):
            seconds: Any = shared.ttl(key)
            if seconds != -2:
                found[kind_of(key)] = max(found.get(kind_of(key), 0), float("inf") if seconds < 0 else seconds)
        found = {kind: seconds for kind, seconds in found.items() if kind not in BOUNDED}
    # What was asked for is shared when the replica stops, if not before.
    [asked] = [key for key in shared.scan_iter(count=1000) if kind_of(key) == "asked"]
    at_last: Any = shared.ttl(asked)
    found["asked"] = float("inf") if at_last < 0 else at_last
    assert found.keys() == LASTS.keys()
    assert {kind: seconds for kind, seconds in found.items() if seconds > LASTS[kind]} == {}
