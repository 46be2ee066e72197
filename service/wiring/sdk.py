"""Builds the way to Amazon Personalize."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from service.aws.session import AwsSession
from service.clock import Clock
from service.personalize.ports import Recommender
from service.personalize.sdk.runtime import open_personalize, region_of
from service.settings import Settings

CALLS_IN_FLIGHT_PER_TPS: Final = 2
"""Connections to Personalize for each transaction per second: a call that takes the whole deadline holds its own."""

MIN_CONNECTIONS: Final = 10

CREDENTIALS_PATIENCE_SECONDS: Final = 30.0
"""A catalogue at Amazon waits so long at the start: the role of a machine that has just started may come late."""


def aws_session(settings: Settings, clock: Clock) -> AwsSession:
    """What everything at Amazon is asked through; not a look is spent before something is."""
    return AwsSession(region_hint=region_of(settings.arn), clock=clock, patience_seconds=CREDENTIALS_PATIENCE_SECONDS)


def open_recommender(settings: Settings, clock: Clock, aws: AwsSession) -> AbstractAsyncContextManager[Recommender]:
    """The campaign or recommender of the settings, for as long as the block lasts."""
    return open_personalize(
        aws=aws,
        campaign_arn=settings.personalize_campaign_arn,
        recommender_arn=settings.personalize_recommender_arn,
        filter_arn=settings.personalize_filter_arn,
        clock=clock,
        read_timeout_seconds=settings.request_deadline_seconds,
        max_pool_connections=max(MIN_CONNECTIONS, int(CALLS_IN_FLIGHT_PER_TPS * settings.personalize_tps)),
    )
