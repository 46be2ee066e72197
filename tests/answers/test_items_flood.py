"""A flood of unknown items beside new users, on one replica and on three with one Redis, in virtual time."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from service.models import RecommendationQuery
from service.settings import Settings, load
from tests.simulation.links import with_modelled_links
from tests.simulation.member import open_member, with_modelled_redis
from tests.simulation.personalize import Personalize
from tests.support.fakes import FakeCatalog, most_in_any_second
from tests.support.redis_network import RedisServerModel
from tests.support.replica import ARN, DEADLINE_SECONDS, ITEMS
from tests.support.virtual_time import VirtualClock, run_virtual

UNKNOWN: Final = 60
NEW_USERS: Final = 60
"""Within two seconds, as the items."""

ITEMS_TPS: Final = 2


@pytest.fixture(autouse=True)
def modelled_redis() -> Iterator[None]:
    with with_modelled_redis(), with_modelled_links():
        yield


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_flood_of_items_spends_its_own_budget_only_and_all_are_answered_in_time(replicas: int) -> None:
    async def run() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        server = RedisServerModel(clock.time)
        personalize = Personalize(clock, random.Random(1), (0.03, 0.15))
        settings = load(
            Settings,
            None,
            personalize_campaign_arn=ARN,
            personalize_tps=100.0,
            similar_items_campaign_arn=f"{ARN}-similar",
            similar_items_tps=float(ITEMS_TPS),
            redis_url="redis://model",
            catalog_url="file:///none.csv",
            allow_anonymous=True,
            expected_replicas=replicas,
        )
        async with AsyncExitStack() as stack:
            members = [
                await open_member(server, personalize, FakeCatalog(ITEMS), settings, clock) for _ in range(replicas)
            ]
            for member in members:
                stack.push_async_callback(member.stack.aclose)
            # Until each knows of the others.
            await asyncio.sleep(10.0)
            late = 0

            async def call(number: int, query: RecommendationQuery) -> str:
                nonlocal late
                began = clock.monotonic()
                answer = await members[number % replicas].answer(query, DEADLINE_SECONDS)
                late += clock.monotonic() - began > DEADLINE_SECONDS
                assert len(set(answer.shown)) == query.num_results
                assert query.item_id not in answer.shown
                return answer.source

            items, users = [], []
            for number in range(UNKNOWN):
                similar = RecommendationQuery("", 10, kind="similar-items", item_id=f"item{number}")
                items.append(asyncio.create_task(call(number, similar)))
                users.append(asyncio.create_task(call(number, RecommendationQuery(f"user{number}", 10))))
                await asyncio.sleep(2.0 / UNKNOWN)
            assert Counter(await asyncio.gather(*users)) == {"personalize": NEW_USERS}
            await asyncio.gather(*items)
            assert late == 0
            about_items = [one.at for one in personalize.seen if not one.user]
            assert 2 <= most_in_any_second(about_items) <= ITEMS_TPS + 1

    run_virtual(run())
