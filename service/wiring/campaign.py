"""Builds a campaign, and one replica's answers around it; production and tests use the same functions.

What differs between them is `Outside`: real in production, fakes that one can ask in tests.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from service.answers.assembly import Assembly
from service.answers.exclusions import RequestExclusion
from service.answers.popular import PopularItems, PopularLists
from service.answers.recommend import Recommendations
from service.answers.rules import ItemRules
from service.budget.budget import Budget
from service.budget.ports import TpsGovernor
from service.catalog.current import CurrentCatalog
from service.catalog.ports import BlockList
from service.clock import Clock
from service.constants import MAX_WAITING_CALLERS, PIN_SECONDS
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKeys
from service.lists.ladder import Ladder
from service.lists.lists import Lists
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import BatchLists, SharedLists
from service.personalize.breaker import Breaker
from service.personalize.campaign import PersonalizeCampaign
from service.personalize.flights import Flights
from service.personalize.list_length import ListLength
from service.personalize.ports import Learner, Recommender, Recorder
from service.personalize.refresher import Refresher
from service.personalize.transactions import Transactions
from service.sends.prewarm.prewarmer import Prewarmer

CLOSING_SECONDS: Final = 3.0
"""Transactions under way at shutdown are waited for this long, so that their lists are kept."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Numbers and names by which a replica answers."""

    keys: UserKeys
    freshness: Freshness
    deadline_seconds: float
    """For an answer, and for one transaction."""

    curated: Sequence[str] = ()
    """Ids at the head of the popular list."""

    values_change_lists: bool = False
    """Whether `filter_values` go to Personalize."""

    exclusion: RequestExclusion | None = None
    """The operator's exclusion where requests fill its placeholders."""

    max_waiting: int = MAX_WAITING_CALLERS
    """Callers that wait for a live list at a time."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a replica keeps lists."""

    memory: ListMemory
    shared: SharedLists
    batch: BatchLists
    lately: ForgottenLately
    forgetting: Forgetting


@dataclass(frozen=True, slots=True)
class Outside:
    """What a replica is given."""

    clock: Clock
    recommender: Recommender
    governor: TpsGovernor
    stores: Stores
    catalog: CurrentCatalog
    blocked: BlockList
    recorder: Recorder


@dataclass(frozen=True, slots=True)
class AnsweringReplica:
    """One replica's answers, and what stands behind them."""

    recommendations: Recommendations
    prewarmer: Prewarmer
    campaign: PersonalizeCampaign
    lists: Lists
    pins: LocalPins
    popular: PopularItems


@asynccontextmanager
async def open_campaign(
    *,
    clock: Clock,
    recommender: Recommender,
    governor: TpsGovernor,
    lists: Lists,
    learner: Learner,
    recorder: Recorder,
    transaction_seconds: float,
    max_waiting: int = MAX_WAITING_CALLERS,
) -> AsyncIterator[PersonalizeCampaign]:
    """A campaign with a budget of its own, for as long as the block lasts."""
    budget = Budget(governor, clock)
    breaker = Breaker(clock)
    transactions = Transactions(
        clock=clock,
        recommender=recommender,
        budget=budget,
        breaker=breaker,
        recorder=recorder,
        timeout_seconds=transaction_seconds,
    )
    refresher = Refresher(budget=budget, clock=clock)
    flights = Flights(
        clock=clock, lists=lists, transactions=transactions, stale=refresher, learner=learner, max_waiting=max_waiting
    )
    campaign = PersonalizeCampaign(
        budget=budget, breaker=breaker, flights=flights, refresher=refresher, length=ListLength(clock)
    )
    campaign.start()
    try:
        yield campaign
    finally:
        await campaign.close(CLOSING_SECONDS)


@asynccontextmanager
async def open_answers(outside: Outside, terms: Terms) -> AsyncIterator[AnsweringReplica]:
    """One replica's answers from one campaign, for as long as the block lasts."""
    clock, stores = outside.clock, outside.stores
    popular = PopularItems(terms.curated)
    pins = LocalPins(PIN_SECONDS, clock)
    lists = Lists(
        clock=clock,
        freshness=terms.freshness,
        memory=stores.memory,
        pins=pins,
        shared=stores.shared,
        batch=stores.batch,
        ladder=Ladder(PopularLists(popular, outside.catalog, clock)),
        lately=stores.lately,
    )
    async with AsyncExitStack() as stack:
        campaign = await stack.enter_async_context(
            open_campaign(
                clock=clock,
                recommender=outside.recommender,
                governor=outside.governor,
                lists=lists,
                learner=popular,
                recorder=outside.recorder,
                transaction_seconds=terms.deadline_seconds,
                max_waiting=terms.max_waiting,
            )
        )
        stores.forgetting.add(lists)
        stores.forgetting.add(campaign.refresher)
        rules = ItemRules(catalog=outside.catalog, blocked=outside.blocked, exclusion=terms.exclusion)
        yield AnsweringReplica(
            recommendations=Recommendations(
                clock=clock,
                keys=terms.keys,
                lists=lists,
                campaign=campaign,
                rules=rules,
                assembly=Assembly(clock=clock, rules=rules, popular=popular, length=campaign.length),
                values_change_lists=terms.values_change_lists,
            ),
            prewarmer=Prewarmer(clock=clock, keys=terms.keys, lists=lists, campaign=campaign),
            campaign=campaign,
            lists=lists,
            pins=pins,
            popular=popular,
        )
