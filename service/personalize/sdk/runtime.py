"""Opens the way to Personalize's runtime: the SDK's client, and the plain way where the SDK's requests are plain."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore import exceptions as sdk

from service.aws.credentials import AwsCredentials
from service.aws.session import AwsSession
from service.clock import Clock
from service.errors import ConfigurationError, RecommenderError
from service.personalize.sdk.advice import advice_for, loggable
from service.personalize.sdk.client import PersonalizeRecommender
from service.personalize.sdk.connections import ConnectionPool
from service.personalize.sdk.errors import translated_errors
from service.personalize.sdk.plain import PlainWay, Rehearsal, reason_for_sdk, special_endpoint
from service.personalize.sdk.plain_client import GET_PERSONALIZED_RANKING, GET_RECOMMENDATIONS, PlainClient

SERVICE: Final = "personalize-runtime"
"""The SDK's name of it."""

START_SECONDS: Final = 1.0
"""Longest that the start waits for credentials; slower ones come while popular items are served."""

CONNECT_TIMEOUT_SECONDS: Final = 0.5
"""Ours: a connection inside one region opens in a few milliseconds, and a lost SYN is only sent again after
a second."""

REHEARSAL_SECONDS: Final = 10.0
"""For a rehearsal, which reads certificates in a thread; a busy start must not decide how Personalize is asked."""

_rehearsing: Final[ContextVar[AwsCredentials | None]] = ContextVar("rehearsing", default=None)
"""What this task's requests are signed with, while they are not to be sent."""

_log = structlog.stdlib.get_logger(__name__)


@asynccontextmanager
async def open_personalize(
    *,
    aws: AwsSession,
    campaign_arn: str | None = None,
    recommender_arn: str | None = None,
    filter_arn: str | None = None,
    clock: Clock,
    read_timeout_seconds: float,
    max_pool_connections: int,
) -> AsyncIterator[PersonalizeRecommender]:
    """A recommender whose connections live as long as the block.

    Endpoint and proxies come from the SDK's own chain; the region is the ARN's, since the resource lives nowhere else.
    Nothing is sent before the first transaction. Credentials that are missing or late stop nothing: transactions are
    refused until some are there.

    Args:
        aws: Gives the credentials.
        campaign_arn: The campaign that answers; exactly one of this and `recommender_arn`.
        recommender_arn: The recommender of a domain dataset group that answers.
        filter_arn: The filter that Personalize applies, if any.
        clock: Dates the lists.
        read_timeout_seconds: Longest silence of an open connection.
        max_pool_connections: Calls that may be in flight; one more waits inside its own timeout.

    Raises:
        ConfigurationError: The SDK's own settings do not work, for example an unknown `AWS_PROFILE`.
    """
    config = AioConfig(
        # Made once: the SDK's own header is put together twice for every call, a sixth of what a call costs.
        user_agent=aws.user_agent(),
        http_session_cls=_Session,
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_timeout_seconds,
        max_pool_connections=max_pool_connections,
        parameter_validation=False,
    )
    if filter_arn and place_of(filter_arn) != place_of(campaign_arn or recommender_arn or ""):
        _log.warning(
            "personalize_filter_elsewhere",
            arn=campaign_arn or recommender_arn,
            filter_arn=filter_arn,
            advice="name a filter of the same region and account",
        )
    runtime = _Runtime(aws, config, region_of(campaign_arn or recommender_arn or ""))
    recommender = PersonalizeRecommender(
        runtime, campaign_arn=campaign_arn, recommender_arn=recommender_arn, filter_arn=filter_arn, clock=clock
    )
    async with runtime:
        starting = asyncio.create_task(_start(runtime, aws.credentials), name="personalize-start")
        try:
            await aws.credentials.start_with(START_SECONDS)
            if aws.credentials.found is not None:
                await asyncio.wait([starting], timeout=START_SECONDS)
            yield recommender
        finally:
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting


def region_of(arn: str) -> str | None:
    """The region in an ARN."""
    parts = arn.split(":")
    return parts[3] or None if len(parts) > 3 else None  # noqa: PLR2004  # arn:partition:service:region:...


def place_of(arn: str) -> tuple[str, ...]:
    """Region and account in an ARN: only a filter of the same place can be asked for."""
    return tuple(arn.split(":")[3:5])


class _Runtime:
    """The SDK's client, made when the block is entered; later if the file with its profile is yet to be written.

    The plain client takes its place once a rehearsal has shown that the SDK's requests are plain.
    """

    def __init__(self, aws: AwsSession, config: AioConfig, region: str | None) -> None:
        self._aws = aws
        self._config = config
        self._region = region
        self._stack = AsyncExitStack()
        self._sdk_client: Any = None
        self._client: Any = None

    @property
    def client(self) -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
        """The client.

        Raises:
            MissingCredentialsError: There is none before there are credentials.
        """
        if self._client is None:
            raise self._aws.credentials.missing()
        return self._client

    async def __aenter__(self) -> None:
        """Make the client.

        Raises:
            ConfigurationError: The SDK's own settings do not work.
        """
        with suppress(sdk.ProfileNotFound):
            await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(self) -> None:
        """Make the client, unless it is there.

        Raises:
            ConfigurationError: The SDK's own settings do not work.
            ProfileNotFound: No file has the profile, since there is none yet.
        """
        if self._client is not None:
            return
        try:
            creating = self._aws.client(SERVICE, self._config, self._region)
            self._client = self._sdk_client = await self._stack.enter_async_context(creating)
        except sdk.ProfileNotFound:
            raise
        except (sdk.BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"the AWS SDK cannot start: {error}") from error

    async def rehearse(self) -> None:
        """Do all of a transaction but send it: load certificates, resolve the endpoint; 90 ms or so without a network.

        From then on requests that are plain go without the SDK.

        Raises:
            BotoCoreError, TimeoutError: What a transaction would fail of.
        """
        rehearsals = await self._rehearsed()
        if because := reason_for_sdk(rehearsals):
            _log.info("personalize_asked_by_sdk", because=because)
            return
        way, config = PlainWay.of(rehearsals), self._config
        pool = ConnectionPool(
            way.place,
            max_connections=config.max_pool_connections,
            connect_seconds=config.connect_timeout,
            silence_seconds=config.read_timeout,
        )
        self._client = PlainClient(self._aws, way, pool, self._sdk_client)
        self._stack.push_async_callback(pool.close)

    async def _rehearsed(self) -> Mapping[str, Rehearsal]:
        client, found = self._sdk_client, {}
        rehearsing = _rehearsing.set(self._aws.credentials)
        special = special_endpoint(client.meta.config)
        try:
            async with asyncio.timeout(REHEARSAL_SECONDS):
                for operation, call in (
                    (GET_RECOMMENDATIONS, client.get_recommendations(userId="", numResults=1)),
                    (GET_PERSONALIZED_RANKING, client.get_personalized_ranking(userId="", inputList=[])),
                ):
                    try:
                        await call
                    except _RehearsalError as shown:
                        found[operation] = replace(shown.rehearsal, is_special=special)
        finally:
            _rehearsing.reset(rehearsing)
        return found


async def _start(runtime: _Runtime, credentials: AwsCredentials) -> None:
    """When credentials have come, rehearse, so that the first user does not wait for what the SDK does once.

    What fails here would fail in the first transaction, so it is in the log before anybody asks.
    """
    await credentials.arrive(None)
    try:
        await runtime.open()
        with translated_errors():
            await runtime.rehearse()
    except (ConfigurationError, RecommenderError, sdk.ProfileNotFound) as error:
        more = {"advice": advice} if (advice := advice_for(error)) else {}
        _log.warning("personalize_cannot_be_asked", problem=loggable(error), **more)


class _Session(AIOHTTPSession):  # type: ignore[misc]  # the SDK has no types
    async def send(self, request: Any) -> Any:  # noqa: ANN401  # as above
        credentials = _rehearsing.get()
        if credentials is None:
            return await super().send(request)
        signed_with, proxy = credentials.frozen(), self._proxy_config.proxy_url_for(request.url)
        # The SDK reads the certificates only as it opens its pool of connections, and has no other name for it.
        await self._get_session(proxy)
        raise _RehearsalError(
            Rehearsal(
                method=request.method,
                url=request.url,
                headers={name.lower(): _text(value) for name, value in request.headers.items()},
                body=request.body,
                credentials=signed_with,
                proxy=proxy,
                verifies=self._verify,
                has_client_certificate=self._cert_file is not None,
                tls=self._tls,
            )
        )

    def _build_ssl_contexts(self, proxy_url: str | None) -> Any:  # noqa: ANN401  # as above
        contexts = super()._build_ssl_contexts(proxy_url)
        self._tls: ssl.SSLContext = contexts[0]
        return contexts


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class _RehearsalError(Exception):
    """Ends a rehearsal where the request would be sent."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
