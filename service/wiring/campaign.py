"""Builds campaigns and placements; production and tests use the same functions.

What differs between them is `Outside`: real in production, fakes that one can ask in tests.

Longer than 300 lines: it knows every class of a placement, and knows them in one place.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from service.answers.arm import Arm, AskingTerms
from service.answers.arranged import ArrangedItems
from service.answers.arrangement import Arrangement, ArrangementTerms, Pin
from service.answers.assembly import Assembly
from service.answers.exclusions import RequestExclusion
from service.answers.placement import Placement, Placements
from service.answers.popular import PopularItems, PopularLists
from service.answers.ports import NoEvents, OwnEvents, SendMemory, UseCase
from service.answers.rank import Rank
from service.answers.ready import ReadyItems
from service.answers.recommend import Recommend
from service.answers.rules import ItemRules
from service.answers.similar import SimilarItems
from service.answers.split import Split
from service.answers.terms import AssemblyTerms
from service.attribution import Click
from service.budget.budget import Budget
from service.budget.ports import TpsGovernor
from service.catalog.current import CurrentCatalog
from service.catalog.ports import BlockList
from service.clock import Clock
from service.constants import MAX_WAITING_CALLERS, PIN_SECONDS
from service.filters import Filter, parse_filter
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.freshness import Freshness
from service.lists.keys import UserKeys
from service.lists.ladder import Ladder, NoPopularList
from service.lists.lists import Lists
from service.lists.memory import ListMemory
from service.lists.pins import LocalPins
from service.lists.ports import BatchLists, Liveness, PopularList, SharedLists
from service.models import Promotion, Sender
from service.personalize.breaker import Breaker
from service.personalize.campaign import PersonalizeCampaign
from service.personalize.fetching import Fetching
from service.personalize.flights import Flights
from service.personalize.list_length import ListLength
from service.personalize.ports import Learner, Recommender, Recorder
from service.personalize.refresher import Refresher
from service.personalize.transactions import Transactions
from service.settings.placements import CONTROL, PlacementTerms, VariantTerms
from service.wiring.addresses import Address, address_of

CLOSING_SECONDS: Final = 3.0
"""Transactions under way at shutdown are waited for this long, so that their lists are kept."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a replica keeps lists."""

    memory: ListMemory
    shared_of: Callable[[Freshness], SharedLists]
    """For lists of these ages."""
    batch_of: Callable[[str], BatchLists]
    """Of a placement."""
    lately: ForgottenLately
    forgetting: Forgetting


@dataclass(frozen=True, slots=True)
class Outside:
    """What a replica is given."""

    clock: Clock
    recommender_of: Callable[[Address], Recommender]
    governor_of: Callable[[Address], TpsGovernor]
    """One for each ARN."""
    stores: Stores
    catalog: CurrentCatalog
    blocked: BlockList
    recorder_of: Callable[[str], Recorder]
    """Of a placement."""
    own_events: OwnEvents = field(default_factory=NoEvents)
    link_to: Callable[[Click], str] | None = None
    """Makes links that record a click; None: there are none."""
    sends: SendMemory | None = None
    """What users were shown in their sends; None: nothing is pinned."""
    live: Liveness | None = None
    """Lists of users are fresh by what their users do; None: by the clock."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Numbers and names by which a replica answers, whatever the placement."""

    secret: str
    """Of the users' keys."""

    freshness: Freshness
    """Of placements that name none."""

    deadline_seconds: float
    """For an answer, and for one transaction."""

    curated: Sequence[str] = ()
    """Ids at the head of the popular list."""

    exclusion: RequestExclusion | None = None
    """The operator's exclusion where requests fill its placeholders."""

    top_up: bool | None = None
    """Whether popular items fill short lists; None: unless the placement has a filter in Personalize."""

    max_waiting: int = MAX_WAITING_CALLERS
    """Callers that wait for a live list at a time, of one arm."""

    group_column: str | None = None
    """Catalogue column of variants."""

    weights: Mapping[Sender, float] = field(default_factory=dict)
    """Turns of senders whose callers wait for the budget, where they are not 1."""

    ready_bytes: int = 32 * 2**20
    """Memory for items that are ready for answers."""


@dataclass(frozen=True, slots=True)
class AnsweringReplica:
    """One replica's answers, and what stands behind them."""

    placements: Placements
    pins: LocalPins
    popular: PopularItems
    budgets: dict[str, Budget] = field(default_factory=dict)
    """By ARN."""
    ready: Sequence[ReadyItems] = ()
    """The items of answers, by rules."""

    def close_budgets(self) -> None:
        """Spend no further transaction."""
        for budget in self.budgets.values():
            budget.close()


@asynccontextmanager
async def open_campaign(
    *,
    clock: Clock,
    recommender: Recommender,
    budget: Budget,
    lists: Lists,
    learner: Learner,
    recorder: Recorder,
    transaction_seconds: float,
    max_waiting: int = MAX_WAITING_CALLERS,
) -> AsyncIterator[PersonalizeCampaign]:
    """A campaign on a budget, for as long as the block lasts."""
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
    fetching = Fetching(clock=clock, lists=lists, transactions=transactions, learner=learner)
    flights = Flights(clock=clock, lists=lists, fetching=fetching, stale=refresher, max_waiting=max_waiting)
    campaign = PersonalizeCampaign(
        budget=budget, breaker=breaker, flights=flights, refresher=refresher, length=ListLength(clock)
    )
    campaign.start()
    try:
        yield campaign
    finally:
        await campaign.close(CLOSING_SECONDS)


class NothingLearned:
    """A `Learner` for lists that say nothing about what is popular."""

    def learn(self, item_ids: Sequence[str]) -> None:
        """Leave the popular list as it is."""


@asynccontextmanager
async def open_answers(
    outside: Outside, terms: Terms, placements: Mapping[str, PlacementTerms]
) -> AsyncIterator[AnsweringReplica]:
    """One replica's answers from its placements, for as long as the block lasts."""
    popular = PopularItems(terms.curated, outside.clock)
    pins = LocalPins(PIN_SECONDS, outside.clock)
    fallback_pins = LocalPins(PIN_SECONDS, outside.clock)
    forgetting = outside.stores.forgetting
    for holder in (outside.stores.memory, pins, fallback_pins):
        forgetting.search(holder)
    async with AsyncExitStack() as stack:
        count = sum(1 + len(wanted.variants) for wanted in placements.values())
        builder = _Builder(outside, terms, popular, pins, stack, arms=count)
        built: dict[str, Placement] = {}
        for name, wanted in placements.items():
            arms = [await builder.arm(name, wanted, None)]
            arms += [await builder.arm(name, wanted, variant) for variant in wanted.variants]
            built[name] = Placement(
                name=name,
                kind=wanted.kind,
                clock=outside.clock,
                arms=arms,
                split=Split(name, [variant.share for variant in wanted.variants]),
                fallback_pins=fallback_pins,
                item_from=wanted.item_from,
                sends=outside.sends,
            )
        for name, wanted in placements.items():
            built[name].fall_back_to([built[other] for other in wanted.fallback])
        yield AnsweringReplica(Placements(list(built.values())), pins, popular, builder.budgets, builder.ready)


class _Builder:
    """Builds the arms of placements, which share budgets, pins and the popular list."""

    def __init__(
        self,
        outside: Outside,
        terms: Terms,
        popular: PopularItems,
        pins: LocalPins,
        stack: AsyncExitStack,
        *,
        arms: int,
    ) -> None:
        self._outside = outside
        self._terms = terms
        self._popular = popular
        self._pins = pins
        self._stack = stack
        self._popular_list = PopularLists(popular, outside.catalog, outside.clock)
        self.budgets: dict[str, Budget] = {}
        self._arms = arms
        self._ready_of: dict[str, ReadyItems] = {}
        """By the exclusion of arms that keep the order of a list."""
        self.ready: list[ReadyItems] = []

    async def arm(self, name: str, placement: PlacementTerms, variant: VariantTerms | None) -> Arm:
        """An arm of a placement; None is the placement's own."""
        outside, clock = self._outside, self._outside.clock
        address = address_of(placement, variant)
        freshness = freshness_of(placement, self._terms.freshness)
        if placement.kind != "similar-items" or placement.needs_user:
            freshness = replace(freshness, live=outside.live)
        # A ranking shows the given items, and similar items have a popular list of their own.
        popular_list: PopularList = self._popular_list if placement.kind == "recommendations" else NoPopularList()
        lists = Lists(
            clock=clock,
            freshness=freshness,
            memory=outside.stores.memory,
            pins=self._pins,
            shared=outside.stores.shared_of(freshness),
            batch=outside.stores.batch_of(name),
            ladder=Ladder(popular_list),
            lately=outside.stores.lately,
        )
        campaign = None
        if variant is None or not variant.popular:
            campaign = await self._campaign(name, placement, address, lists)
        own_exclusion = (variant and variant.exclusion_filter) or placement.exclusion_filter
        exclusions = [RequestExclusion(parse_filter(own_exclusion))] if own_exclusion else []
        if self._terms.exclusion is not None:
            exclusions.append(self._terms.exclusion)
        top_up = self._terms.top_up if placement.top_up is None else placement.top_up
        rules = ItemRules(
            catalog=outside.catalog,
            blocked=outside.blocked,
            exclusions=exclusions,
            own_events=outside.own_events,
            group_column=self._terms.group_column,
        )
        arrangement = Arrangement(
            ArrangementTerms(
                pins=tuple(Pin.of(pin.item, pin.slot, pin.until) for pin in (variant and variant.pin) or placement.pin),
                max_per=(variant and variant.max_per) or placement.max_per,
                boost=_parsed((variant and variant.boost) or placement.boost),
                bury=_parsed((variant and variant.bury) or placement.bury),
            )
        )
        ready = None
        if arrangement.same_for_all and rules.same_for_all:
            ready = self._ready(own_exclusion or "", rules, arrangement)
        assembly = Assembly(
            clock=clock,
            rules=rules,
            arrangement=arrangement,
            ready=ready,
            popular=self._popular,
            link_to=outside.link_to,
            length=ListLength(clock) if campaign is None else campaign.length,
            terms=AssemblyTerms(
                placement=name,
                variant=variant_name(placement, variant),
                kind=placement.kind,
                top_up=address.filter_arn is None if top_up is None else top_up,
                category_column=placement.category_column,
            ),
        )
        return Arm(
            clock=clock,
            keys=UserKeys(secret=self._terms.secret, scope=address.scope),
            lists=lists,
            campaign=campaign,
            use_case=use_case_of(placement),
            terms=asking_terms_of(placement, address),
            assembly=assembly,
        )

    def _ready(self, exclusion: str, rules: ItemRules, arrangement: Arrangement) -> ReadyItems:
        """The items of these rules; arms with the same exclusion and no order of their own share them."""
        memory, clock, room = self._outside.stores.memory, self._outside.clock, self._terms.ready_bytes // self._arms
        if not arrangement.changes_nothing:
            found: ReadyItems = ArrangedItems(rules, lambda: memory.numbers, clock, room, arrangement=arrangement)
            self.ready.append(found)
            return found
        shared = self._ready_of.get(exclusion)
        if shared is None:
            shared = self._ready_of[exclusion] = ReadyItems(rules, lambda: memory.numbers, clock, room)
            self.ready.append(shared)
        return shared

    async def _campaign(
        self, name: str, placement: PlacementTerms, address: Address, lists: Lists
    ) -> PersonalizeCampaign:
        outside = self._outside
        budget = self.budgets.get(address.arn)
        if budget is None:
            budget = self.budgets[address.arn] = Budget(
                outside.governor_of(address), outside.clock, lambda sender: self._terms.weights.get(sender, 1.0)
            )
            self._stack.callback(budget.close)
        campaign = await self._stack.enter_async_context(
            open_campaign(
                clock=outside.clock,
                recommender=outside.recommender_of(address),
                budget=budget,
                lists=lists,
                learner=self._popular if placement.kind == "recommendations" else NothingLearned(),
                recorder=outside.recorder_of(name),
                transaction_seconds=self._terms.deadline_seconds,
                max_waiting=self._terms.max_waiting,
            )
        )
        outside.stores.forgetting.add(campaign.refresher)
        return campaign


def variant_name(placement: PlacementTerms, variant: VariantTerms | None) -> str | None:
    """As header and metrics show it: `control` for the placement's own arm; None where there is no experiment."""
    if variant is not None:
        return variant.name
    return CONTROL if placement.variants else None


def freshness_of(placement: PlacementTerms, default: Freshness) -> Freshness:
    """How long the lists of a placement are good."""
    fresh = default.fresh_seconds if placement.fresh_seconds is None else placement.fresh_seconds
    stale = default.stale_seconds if placement.stale_seconds is None else placement.stale_seconds
    return Freshness(fresh, max(fresh, stale))


def use_case_of(placement: PlacementTerms) -> UseCase:
    """What a placement asks for."""
    if placement.kind == "ranking":
        return Rank()
    return SimilarItems(needs_user=placement.needs_user) if placement.kind == "similar-items" else Recommend()


def asking_terms_of(placement: PlacementTerms, address: Address) -> AskingTerms:
    """What goes to Personalize with every list of a placement."""
    promotion = placement.promotion
    return AskingTerms(
        context=tuple(sorted(placement.context.items())),
        context_names=frozenset(placement.context_names),
        promotion=None if promotion is None else Promotion(promotion.name, promotion.percent, promotion.filter_arn),
        values_change_lists=address.filter_arn is not None or promotion is not None,
    )


def _parsed(expression: str | None) -> Filter | None:
    return parse_filter(expression) if expression else None
