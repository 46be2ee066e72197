"""A flood of unknown items beside new users: similar items keep to their own budget, and take nothing of the others'.

60 items that nobody asked for before are asked for within two seconds, at `SIMILAR_ITEMS_TPS` 2, while 30 new users a
second ask for their own lists. Once with one replica, once with three that share a Redis.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

import aiohttp

from service.local_personalize.arns import SIMILAR_ITEMS_ARN
from tests.support.calls import BRAZE_SECONDS, Call, client, make_call, most_in_a_second
from tests.support.processes import SAMPLE, Process, local_personalize, service
from tests.support.redis import RedisServer
from tests.support.waiting import until

ITEMS: Final = 60
FLOOD_SECONDS: Final = 2.0
USERS_PER_SECOND: Final = 30
SECONDS: Final = 8.0
ITEMS_TPS: Final = 2
USERS_TPS: Final = 100
MOST_IN_A_SECOND: Final = ITEMS_TPS + 1


def items_flood() -> dict[str, Any]:
    """The figures with one replica and with three."""
    return {f"{count} replicas": _flooded(count) for count in (1, 3)}


def promises(figures: dict[str, Any]) -> dict[str, bool]:
    """What the flood must not break."""
    kept = {}
    for name, one in figures.items():
        kept[f"{name}: transactions of items in any second, {one['most_of_items']} <= {MOST_IN_A_SECOND}"] = (
            one["most_of_items"] <= MOST_IN_A_SECOND
        )
        kept[f"{name}: answers about items full and in time, {one['items_full']} of {ITEMS}"] = (
            one["items_full"] == ITEMS
        )
        kept[f"{name}: users with a live list, {one['users'].get('personalize', 0)} of {one['calls_of_users']}"] = one[
            "users"
        ] == {"personalize": one["calls_of_users"]}
        kept[f"{name}: slowest answer, {one['slowest_ms']:.0f} ms <= 1,600 ms"] = one["slowest_ms"] <= 1_600
    return kept


def _flooded(replicas: int) -> dict[str, Any]:
    with ExitStack() as stack:
        personalize = stack.enter_context(local_personalize(SAMPLE, latency_ms=40))
        settings = {
            "PERSONALIZE_TPS": str(USERS_TPS),
            "SIMILAR_ITEMS_CAMPAIGN_ARN": SIMILAR_ITEMS_ARN,
            "SIMILAR_ITEMS_TPS": str(ITEMS_TPS),
            "CATEGORY_COLUMN": "category",
        }
        if replicas > 1:
            settings["REDIS_URL"] = stack.enter_context(RedisServer()).url
        fleet = [stack.enter_context(service(personalize, **_typed(settings))) for _ in range(replicas)]
        personalize.post("/_stats/reset")
        users, items = asyncio.run(_send([one.url for one in fleet], fleet))
        stats = personalize.get_json("/_stats")
    return {
        "calls_of_users": len(users),
        "users": dict(Counter(call.source for call in users)),
        "items": dict(Counter(call.source for call in items)),
        "items_full": sum(call.status == 200 and call.complete and call.seconds < BRAZE_SECONDS for call in items),
        "transactions_of_items": len(stats["arrivals_without_user"]),
        "most_of_items": most_in_a_second(stats["arrivals_without_user"]),
        "slowest_ms": max(call.seconds for call in (*users, *items)) * 1000,
    }


def _typed(settings: dict[str, str]) -> Any:  # keywords of `service`, which names some with other types
    return settings


async def _send(urls: Sequence[str], fleet: Sequence[Process]) -> tuple[list[Call], list[Call]]:
    # Every replica has opened its connections, and knows the others, before the flood.
    await until(lambda: all(one.metric("redis_up") == 1 for one in fleet))
    await asyncio.sleep(2.0 if len(fleet) > 1 else 0.5)
    async with client() as session:
        began = time.monotonic()

        async def later(number: int, per_second: float) -> None:
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))

        async def user(number: int) -> Call:
            await later(number, USERS_PER_SECOND)
            return await make_call(session, urls[number % len(urls)], f"new{number}")

        async def item(number: int) -> Call:
            await later(number, ITEMS / FLOOD_SECONDS)
            return await _similar(session, urls[number % len(urls)], f"unknown{number}")

        users = asyncio.gather(*map(user, range(int(USERS_PER_SECOND * SECONDS))))
        items = asyncio.gather(*map(item, range(ITEMS)))
        return list(await users), list(await items)


async def _similar(session: aiohttp.ClientSession, url: str, item_id: str) -> Call:
    began = time.monotonic()
    async with session.get(f"{url}/similar-items", params={"item_id": item_id}) as answer:
        items = json.loads(await answer.read())
        ids = tuple(one["id"] for one in items)
        headers = answer.headers
        source, reason = headers.get("X-Recommendation-Source", ""), headers.get("X-Degraded-Reason", "")
        return Call(item_id, began, time.monotonic() - began, answer.status, source, reason, ids, len(set(ids)) == 10)
