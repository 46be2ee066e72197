"""Two campaigns in one process, on one Redis: each has a budget of its own, shared by the replicas of that campaign."""

import asyncio
from contextlib import AsyncExitStack

from service.budget.adapters.redis import RedisGovernor
from service.budget.budget import Budget
from service.clock import SystemClock
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.lists.adapters.embedded import EmbeddedLists, NoBatchLists
from service.lists.forgetting import ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKeys
from service.lists.ladder import Ladder, NoPopularList
from service.lists.lists import Lists
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.models import ListRequest
from service.personalize.campaign import PersonalizeCampaign
from service.wiring.campaign import open_campaign
from tests.support.fakes import FakePersonalize, FakeRecorder
from tests.support.redis import RedisServer

WITHIN_SECONDS = 3.0
USERS = 30


class NothingLearned:
    def learn(self, item_ids: object) -> None:
        pass


async def test_two_campaigns_in_one_process_spend_budgets_of_their_own(
    redis_server: RedisServer, clock: SystemClock
) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(RedisClient(redis_server.url, timeout_seconds=WITHIN_SECONDS))
        spent = []
        asked = []
        for name, tps in (("slow", 2.0), ("quick", 200.0)):
            heartbeat = await stack.enter_async_context(Heartbeat(client, clock=clock, expected_replicas=1, group=name))
            memory = ListMemory(2**20)
            lists = Lists(
                clock=clock,
                freshness=Freshness(900, 604_800),
                memory=memory,
                pins=LocalPins(5, clock),
                shared=EmbeddedLists(memory),
                batch=NoBatchLists(),
                ladder=Ladder(NoPopularList()),
                lately=ForgottenLately(clock=clock, flight_seconds=3),
            )
            personalize = FakePersonalize(clock, latency_seconds=0.01)
            personalize.lists = {f"user{n}": ("a", "b") for n in range(USERS)}
            campaign = await stack.enter_async_context(
                open_campaign(
                    clock=clock,
                    recommender=personalize,
                    budget=Budget(
                        RedisGovernor(
                            tps, client=client, heartbeat=heartbeat, clock=clock, horizon_seconds=WITHIN_SECONDS
                        ),
                        clock,
                    ),
                    lists=lists,
                    learner=NothingLearned(),
                    recorder=FakeRecorder(),
                    transaction_seconds=WITHIN_SECONDS,
                )
            )
            spent.append(personalize.transactions)
            keys = UserKeys(secret="secret", scope=name)
            asked += [_ask(campaign, keys, clock, f"user{n}") for n in range(USERS)]
        await asyncio.gather(*asked)
    slow, quick = (transactions.total() for transactions in spent)
    # The first at once, and one more for each interval that ends early enough for a transaction.
    assert 1 <= slow <= 2 * WITHIN_SECONDS + 1
    assert quick == USERS


async def _ask(campaign: PersonalizeCampaign, keys: UserKeys, clock: SystemClock, user_id: str) -> None:
    request = ListRequest(user_id)
    await campaign.outcome(keys.of(request), request, None, clock.monotonic() + WITHIN_SECONDS)
