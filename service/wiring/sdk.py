"""Builds the ways to Amazon Personalize."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

from service.aws.session import AwsSession
from service.clock import Clock
from service.personalize.ports import Recommender
from service.personalize.sdk.runtime import open_personalize, region_of
from service.settings import Settings
from service.wiring.addresses import Address, addresses_of

CALLS_IN_FLIGHT_PER_TPS: Final = 2
"""Connections to Personalize for each transaction per second: a call that takes the whole deadline holds its own."""

MIN_CONNECTIONS: Final = 10

CREDENTIALS_PATIENCE_SECONDS: Final = 30.0
"""A catalogue at Amazon waits so long at the start: the role of a machine that has just started may come late."""


def aws_session(settings: Settings, clock: Clock) -> AwsSession:
    """What everything at Amazon is asked through; not a look is spent before something is."""
    return AwsSession(
        region_hint=region_of(settings.first_placement.arn),
        clock=clock,
        patience_seconds=CREDENTIALS_PATIENCE_SECONDS,
    )


async def open_recommenders(
    settings: Settings, clock: Clock, aws: AwsSession, stack: AsyncExitStack
) -> dict[Address, Recommender]:
    """A way to everything that the placements ask, for as long as the stack is open."""
    found: dict[Address, Recommender] = {}
    for address in addresses_of(settings.placements):
        found[address] = await stack.enter_async_context(_open_recommender(settings, clock, aws, address))
    return found


def _open_recommender(
    settings: Settings, clock: Clock, aws: AwsSession, address: Address
) -> AbstractAsyncContextManager[Recommender]:
    return open_personalize(
        aws=aws,
        campaign_arn=address.campaign_arn,
        recommender_arn=address.recommender_arn,
        filter_arn=address.filter_arn,
        clock=clock,
        read_timeout_seconds=settings.request_deadline_seconds,
        max_pool_connections=max(MIN_CONNECTIONS, int(CALLS_IN_FLIGHT_PER_TPS * address.tps)),
    )
