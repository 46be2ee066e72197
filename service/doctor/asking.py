"""Asks Personalize as a replica does: in slots of the budget, with the same client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from service.aws.session import AwsSession
from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.budget import Budget
from service.budget.ports import Lane, TpsGovernor
from service.clock import Clock
from service.constants import SPENT_SHARE
from service.doctor.targets import Target
from service.errors import RecommenderError
from service.models import ItemList, ListRequest
from service.personalize.sdk.advice import advice_for, code_of
from service.personalize.sdk.runtime import open_personalize
from service.settings import Settings
from service.wiring.addresses import Address
from service.wiring.redis import open_redis, redis_governor

TIMEOUT_SECONDS: Final = 5.0
"""For one transaction; an operator waits longer than a message."""

SLOT_SECONDS: Final = 15.0
"""For a slot. Replicas go first, so during a send there may be none for longer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A transaction that brought no list."""

    problem: str
    """Amazon's words, or the SDK's."""

    code: str
    """AWS's; empty if AWS has not answered."""

    reason: str
    """The word of `degraded_reason`."""

    advice: str


class Asking:
    """The budgets of all ARNs, and the ways to them."""

    def __init__(self, aws: AwsSession, clock: Clock, budgets: Mapping[str, Budget]) -> None:
        self._aws = aws
        self._clock = clock
        self._budgets = budgets
        self.spent = 0
        """Transactions so far."""

    async def ask(self, target: Target, request: ListRequest, *, with_filter: bool = True) -> ItemList | Refusal:
        """Spend one transaction in a slot of its ARN's budget.

        Raises:
            BudgetExhausted: There is no slot in time.
        """
        address = target.address if with_filter else replace(target.address, filter_arn=None)
        async with open_personalize(
            aws=self._aws,
            campaign_arn=address.campaign_arn,
            recommender_arn=address.recommender_arn,
            filter_arn=address.filter_arn,
            clock=self._clock,
            read_timeout_seconds=TIMEOUT_SECONDS,
            max_pool_connections=1,
        ) as recommender:
            await self._budgets[address.arn].acquire(Lane.PREWARM, self._clock.monotonic() + SLOT_SECONDS)
            self.spent += 1
            try:
                return await recommender.recommend(request, timeout_seconds=TIMEOUT_SECONDS)
            except RecommenderError as error:
                return Refusal(str(error), code_of(error), error.reason, advice_for(error))


@asynccontextmanager
async def open_asking(
    settings: Settings, aws: AwsSession, clock: Clock, targets: list[Target], *, redis_works: bool
) -> AsyncIterator[Asking]:
    """What asks these targets.

    Args:
        settings: Of a replica.
        aws: Gives the credentials.
        clock: Slots are points on its monotonic time.
        targets: Who will be asked.
        redis_works: Whether slots can be had from the budget that the replicas share. If they cannot though there are
            replicas, each is on its own share, and so is this.
    """
    addresses = {target.arn: target.address for target in targets}
    async with AsyncExitStack() as stack:
        governors: dict[str, TpsGovernor]
        if settings.redis_url and redis_works:
            way = await open_redis(settings, clock, stack, serves=False)
            governors = {arn: redis_governor(settings, way, clock, one) for arn, one in addresses.items()}
        else:
            parts = settings.expected_replicas if settings.redis_url else 1
            governors = {arn: _embedded(one, clock, parts) for arn, one in addresses.items()}
        budgets = {arn: Budget(governor, clock) for arn, governor in governors.items()}
        for budget in budgets.values():
            stack.callback(budget.close)
        yield Asking(aws, clock, budgets)


def _embedded(address: Address, clock: Clock, parts: int) -> EmbeddedGovernor:
    return EmbeddedGovernor(address.tps * SPENT_SHARE / parts, clock=clock)
