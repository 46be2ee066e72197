"""Builds the way to Amazon Personalize."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from service.clock import Clock
from service.personalize.ports import Recommender
from service.personalize.sdk.client import open_personalize
from service.settings import Settings

CALLS_IN_FLIGHT_PER_TPS: Final = 2
"""Connections to Personalize for each transaction per second: a call that takes the whole deadline holds its own."""

MIN_CONNECTIONS: Final = 10


def open_recommender(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[Recommender]:
    """The campaign or recommender of the settings, for as long as the block lasts."""
    return open_personalize(
        campaign_arn=settings.personalize_campaign_arn,
        recommender_arn=settings.personalize_recommender_arn,
        filter_arn=settings.personalize_filter_arn,
        clock=clock,
        read_timeout_seconds=settings.request_deadline_seconds,
        max_pool_connections=max(MIN_CONNECTIONS, int(CALLS_IN_FLIGHT_PER_TPS * settings.personalize_tps)),
    )
