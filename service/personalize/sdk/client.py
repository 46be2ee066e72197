"""Amazon Personalize over the AWS SDK; every error of the SDK ends here."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from service.clock import Clock
from service.constants import (
    MAX_FILTER_NAME_CHARACTERS,
    MAX_FILTER_VALUE_CHARACTERS,
    MAX_FILTER_VALUES,
    MAX_ID_CHARACTERS,
    PERSONALIZE_MAX_RESULTS,
)
from service.errors import (
    ConfigurationError,
    RecommenderError,
    RecommenderRefused,
    RecommenderThrottled,
    RecommenderTimeout,
)
from service.models import ItemList, ListRequest

_log = structlog.stdlib.get_logger(__name__)

TOLD_EVERY_SECONDS: Final = 60.0
"""Failures of one kind get a line in the log this often: an outage fails every transaction."""

REHEARSAL_SECONDS: Final = 1.0
"""Longest that the start waits for credentials; the first transaction asks a slower chain again."""

_rehearsing: Final = ContextVar("rehearsing", default=False)

CONNECT_TIMEOUT_SECONDS: Final = 0.5
"""Ours: a connection inside one region opens in a few milliseconds, and a lost SYN is only sent again after
a second."""

ERROR_BY_CODE: Final[Mapping[str, type[RecommenderError]]] = {
    # Throttling is in no service's model: these are the codes by which the SDK itself knows it.
    "BandwidthLimitExceeded": RecommenderThrottled,
    "EC2ThrottledException": RecommenderThrottled,
    "LimitExceededException": RecommenderThrottled,
    "PriorRequestNotComplete": RecommenderThrottled,
    "ProvisionedThroughputExceededException": RecommenderThrottled,
    "RequestLimitExceeded": RecommenderThrottled,
    "RequestThrottled": RecommenderThrottled,
    "RequestThrottledException": RecommenderThrottled,
    "SlowDown": RecommenderThrottled,
    "ThrottledException": RecommenderThrottled,
    "Throttling": RecommenderThrottled,
    "ThrottlingException": RecommenderThrottled,
    "TooManyRequestsException": RecommenderThrottled,
    "TransactionInProgressException": RecommenderThrottled,
    "RequestTimeout": RecommenderTimeout,
    "RequestTimeoutException": RecommenderTimeout,
    "InternalFailure": RecommenderError,
    "InternalServerError": RecommenderError,
    "InternalServerException": RecommenderError,
    "ServiceUnavailable": RecommenderError,
    "ServiceUnavailableException": RecommenderError,
    "AccessDenied": RecommenderRefused,
    "AccessDeniedException": RecommenderRefused,
    "ExpiredToken": RecommenderRefused,
    "ExpiredTokenException": RecommenderRefused,
    "IncompleteSignature": RecommenderRefused,
    "InvalidClientTokenId": RecommenderRefused,
    "InvalidInputException": RecommenderRefused,
    "InvalidSignatureException": RecommenderRefused,
    "MissingAuthenticationToken": RecommenderRefused,
    "MissingAuthenticationTokenException": RecommenderRefused,
    "NotAuthorized": RecommenderRefused,
    "OptInRequired": RecommenderRefused,
    "RequestExpired": RecommenderRefused,
    "ResourceNotFoundException": RecommenderRefused,
    "SerializationException": RecommenderRefused,
    "SignatureDoesNotMatch": RecommenderRefused,
    "UnknownOperationException": RecommenderRefused,
    "UnrecognizedClientException": RecommenderRefused,
    "ValidationError": RecommenderRefused,
    "ValidationException": RecommenderRefused,
}
"""What Personalize's error codes mean. A code that is not here is judged by its HTTP status.

Source: https://docs.aws.amazon.com/personalize/latest/dg/CommonErrors.html and the SDK's retries/standard.py
"""

ERROR_BY_CLASS: Final[Mapping[type[Exception], type[RecommenderError]]] = {
    sdk.ConnectTimeoutError: RecommenderTimeout,
    sdk.ReadTimeoutError: RecommenderTimeout,
    sdk.HTTPClientError: RecommenderError,
    sdk.ConnectionError: RecommenderError,
    sdk.ChecksumError: RecommenderError,
    sdk.FlexibleChecksumError: RecommenderError,
    sdk.IncompleteReadError: RecommenderError,
    sdk.CapacityNotAvailableError: RecommenderError,
    sdk.CredentialRetrievalError: RecommenderError,
    sdk.MetadataRetrievalError: RecommenderError,
    sdk.TokenRetrievalError: RecommenderError,
    ResponseParserError: RecommenderError,
    aiohttp.ClientError: RecommenderError,
    sdk.BaseEndpointResolverError: RecommenderRefused,
    sdk.DataNotFoundError: RecommenderRefused,
    sdk.EndpointProviderError: RecommenderRefused,
    sdk.InvalidEndpointConfigurationError: RecommenderRefused,
    sdk.InvalidHostLabelError: RecommenderRefused,
    sdk.InvalidIMDSEndpointError: RecommenderRefused,
    sdk.InvalidIMDSEndpointModeError: RecommenderRefused,
    sdk.InvalidProxiesConfigError: RecommenderRefused,
    sdk.LoginError: RecommenderRefused,
    sdk.MissingDependencyException: RecommenderRefused,
    sdk.MissingParametersError: RecommenderRefused,
    sdk.NoAuthTokenError: RecommenderRefused,
    sdk.NoCredentialsError: RecommenderRefused,
    sdk.ParamValidationError: RecommenderRefused,
    sdk.PartialCredentialsError: RecommenderRefused,
    sdk.ProfileNotFound: RecommenderRefused,
    sdk.ConfigNotFound: RecommenderRefused,
    sdk.ConfigParseError: RecommenderRefused,
    sdk.InfiniteLoopConfigError: RecommenderRefused,
    sdk.InvalidConfigError: RecommenderRefused,
    sdk.RefreshWithMFAUnsupportedError: RecommenderRefused,
    sdk.SSOError: RecommenderRefused,
    sdk.ServiceNotInRegionError: RecommenderRefused,
    sdk.UnknownCredentialError: RecommenderRefused,
    sdk.UnknownRegionError: RecommenderRefused,
    sdk.UnknownSignatureVersionError: RecommenderRefused,
    sdk.UnknownTokenProviderError: RecommenderRefused,
    sdk.UnsupportedSignatureVersionError: RecommenderRefused,
    sdk.ValidationError: RecommenderRefused,
}
"""What the SDK's own errors mean; a subclass means what its nearest ancestor here means."""

_ERROR_BY_STATUS: Final[Mapping[int, type[RecommenderError]]] = {
    408: RecommenderTimeout,
    429: RecommenderThrottled,
    504: RecommenderTimeout,
}

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]+', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def quote_filter_value(value: str) -> str:
    r"""One value of `filterValues` as Personalize wants it: ``a,b`` becomes ``"a","b"``.

    Pieces already in double quotes stay as they are, so a caller can keep a comma inside a string. Numbers
    stay bare unless a leading zero shows that they are names. Blanks around a piece and empty pieces go. A
    quote inside a piece is written as ``\"``; Amazon documents no escape.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
    """
    pieces = (piece.strip() for piece in _PIECE.findall(value))
    return ",".join(_quoted(piece) for piece in pieces if piece)


def _quoted(piece: str) -> str:
    if _NUMBER.fullmatch(piece) or _QUOTED.fullmatch(piece):
        return piece
    escaped = piece.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn whatever the SDK raises into a `RecommenderError` that says what it means.

    Cancellation passes. A refusal's message carries the vendor's sentence, for the operator's log only.
    """
    try:
        yield
    except RecommenderError:
        raise
    except sdk.ClientError as error:
        raise _from_response(error) from error
    # A body that is JSON of another shape makes the SDK's parser fail with whatever Python raises:
    # AttributeError, TypeError, KeyError. The caller must get an answer then too, and counts it as `error`.
    except Exception as error:
        raise _from_class(error) from error


def _from_response(error: sdk.ClientError) -> RecommenderError:
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{code or 'no error code'} ({status})"
    kind = ERROR_BY_CODE.get(code) or _ERROR_BY_STATUS.get(status)
    if kind is None:
        kind = RecommenderRefused if 400 <= status < 500 else RecommenderError  # noqa: PLR2004  # HTTP's own classes
    # Only a refusal is for the operator to mend, who then needs the vendor's sentence.
    return kind(f"{message}: {details.get('Message', '')}" if kind is RecommenderRefused else message)


def _from_class(error: Exception) -> RecommenderError:
    # aiohttp's timeouts are both ClientError and TimeoutError, in this order.
    if isinstance(error, TimeoutError):
        return RecommenderTimeout(type(error).__name__)
    for ancestor in type(error).__mro__:
        kind = ERROR_BY_CLASS.get(ancestor)
        if kind is not None:
            return kind(f"{type(error).__name__}: {error}")
    return RecommenderError(f"{type(error).__name__}: {error}")


class PersonalizeRecommender:
    """A campaign or a recommender of Amazon Personalize, asked through an open SDK client.

    Attributes:
        campaign_arn: The campaign that answers; exactly one of this and `recommender_arn`.
        recommender_arn: The recommender of a domain dataset group that answers.
        filter_arn: The filter that Personalize applies, if any.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401  # the SDK makes its clients' classes at run time
        *,
        campaign_arn: str | None = None,
        recommender_arn: str | None = None,
        filter_arn: str | None = None,
        clock: Clock,
    ) -> None:
        if (campaign_arn is None) == (recommender_arn is None):
            raise ConfigurationError("exactly one of campaign_arn and recommender_arn is needed")
        self.campaign_arn = campaign_arn
        self.recommender_arn = recommender_arn
        self.filter_arn = filter_arn
        self._client = client
        self._clock = clock
        self._fixed: dict[str, str] = (
            {"campaignArn": campaign_arn} if campaign_arn else {"recommenderArn": str(recommender_arn)}
        )
        if filter_arn:
            self._fixed["filterArn"] = filter_arn
        self._told_at: dict[type[RecommenderError], float] = {}

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        """Spend one transaction; the list has no id twice and may be empty.

        Values for placeholders are left out when no filter is configured. What Personalize is known to
        refuse is refused here, before a transaction is spent.

        Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html

        Raises:
            RecommenderError: The transaction brought no list, for the reason that the class names.
        """
        parameters = self._parameters(request)
        try:
            with translated_errors():
                async with asyncio.timeout(timeout_seconds):
                    output = await self._client.get_recommendations(**parameters)
        except RecommenderError as error:
            self._tell(error, request)
            raise
        return _ranked_list(output, created_at=self._clock.time())

    def _tell(self, error: RecommenderError, request: ListRequest) -> None:
        # A rehearsal never gets further than to find credentials.
        if _rehearsing.get() and not isinstance(error, RecommenderRefused):
            return
        now = self._clock.monotonic()
        if now - self._told_at.get(type(error), float("-inf")) < TOLD_EVERY_SECONDS:
            return
        self._told_at[type(error)] = now
        problem = str(error)
        # Amazon quotes a value that it does not like.
        if any(
            value and value in problem for value in (request.user_id, *(value for _, value in request.filter_values))
        ):
            problem = problem.partition(":")[0]
        _log.warning("personalize failed", reason=error.reason, problem=problem)

    def _parameters(self, request: ListRequest) -> dict[str, object]:
        if len(request.user_id) > MAX_ID_CHARACTERS:
            raise RecommenderRefused(f"userId is longer than {MAX_ID_CHARACTERS} characters")
        if not 1 <= request.num_results <= PERSONALIZE_MAX_RESULTS:
            raise RecommenderRefused(f"numResults is not between 1 and {PERSONALIZE_MAX_RESULTS}")
        parameters: dict[str, object] = {
            **self._fixed,
            "userId": request.user_id,
            "numResults": request.num_results,
        }
        if self.filter_arn and request.filter_values:
            parameters["filterValues"] = _filter_values(dict(request.filter_values))
        return parameters


def _filter_values(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MAX_FILTER_VALUES:
        raise RecommenderRefused(f"more than {MAX_FILTER_VALUES} filterValues")
    values = {name: quote_filter_value(value) for name, value in given.items()}
    for name, value in values.items():
        if len(name) > MAX_FILTER_NAME_CHARACTERS:
            raise RecommenderRefused(f"a filterValues name is longer than {MAX_FILTER_NAME_CHARACTERS} characters")
        if len(value) > MAX_FILTER_VALUE_CHARACTERS:
            raise RecommenderRefused(
                f"filterValues {name} is longer than {MAX_FILTER_VALUE_CHARACTERS} characters with quotes"
            )
    return {name: value for name, value in values.items() if value}


def _ranked_list(output: Mapping[str, object], *, created_at: float) -> ItemList:
    items = output.get("itemList")
    if not isinstance(items, list):
        raise RecommenderError("the answer holds no itemList")
    # The SDK turns a body that is not an object, or an entry that is null, into None rather than an error.
    ids = (item.get("itemId") for item in items if isinstance(item, dict))
    item_ids = tuple(dict.fromkeys(item_id for item_id in ids if isinstance(item_id, str) and item_id))
    recommendation_id = output.get("recommendationId")
    return ItemList(
        item_ids=item_ids,
        recommendation_id=recommendation_id if isinstance(recommendation_id, str) else "",
        created_at=created_at,
    )


@asynccontextmanager
async def open_personalize(
    *,
    campaign_arn: str | None = None,
    recommender_arn: str | None = None,
    filter_arn: str | None = None,
    clock: Clock,
    read_timeout_seconds: float,
    max_pool_connections: int,
) -> AsyncIterator[PersonalizeRecommender]:
    """A recommender whose connections live as long as the block.

    Credentials, endpoint and proxies come from the SDK's own chain; the region is the ARN's, since the
    resource lives nowhere else. Nothing is sent before the first call, so missing credentials or an
    unreachable endpoint show there.

    Args:
        campaign_arn: The campaign that answers; exactly one of this and `recommender_arn`.
        recommender_arn: The recommender of a domain dataset group that answers.
        filter_arn: The filter that Personalize applies, if any.
        clock: Dates the lists.
        read_timeout_seconds: Longest silence of an open connection.
        max_pool_connections: Calls that may be in flight; one more waits inside its own timeout.

    Raises:
        ConfigurationError: The SDK's own settings do not work, for example an unknown `AWS_PROFILE`.
    """
    session = get_session()
    config = AioConfig(
        # Made once: the SDK's own header is put together twice for every call, a sixth of what a call costs.
        user_agent=session.user_agent(),
        http_session_cls=_Session,
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_timeout_seconds,
        max_pool_connections=max_pool_connections,
        parameter_validation=False,
    )
    region = _region(campaign_arn or recommender_arn or "")
    creating = session.create_client("personalize-runtime", region_name=region, config=config)
    try:
        client = await creating.__aenter__()
    except (sdk.BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"the AWS SDK cannot start: {error}") from error
    try:
        recommender = PersonalizeRecommender(
            client,
            campaign_arn=campaign_arn,
            recommender_arn=recommender_arn,
            filter_arn=filter_arn,
            clock=clock,
        )
        await _rehearse(recommender)
        yield recommender
    finally:
        await creating.__aexit__(None, None, None)


async def _rehearse(recommender: PersonalizeRecommender) -> None:
    """Do all of a transaction but send it, so that the first user does not wait for what the SDK does once.

    It loads credentials and certificates and resolves the endpoint, about 90 ms without a network. Whatever fails
    here fails in the first transaction too, and is translated and counted there.
    """
    rehearsing = _rehearsing.set(True)
    try:
        await recommender.recommend(ListRequest("", 1), timeout_seconds=REHEARSAL_SECONDS)
    except (RecommenderError, _RehearsalError):
        return
    finally:
        _rehearsing.reset(rehearsing)


class _Session(AIOHTTPSession):  # type: ignore[misc]  # the SDK has no types
    async def send(self, request: Any) -> Any:  # noqa: ANN401  # as above
        if _rehearsing.get():
            # The SDK reads the certificates only as it opens its pool of connections, and has no other name for it.
            await self._get_session(self._proxy_config.proxy_url_for(request.url))
            raise _RehearsalError
        return await super().send(request)


class _RehearsalError(Exception):
    """Ends a rehearsal where the request would be sent."""


def _region(arn: str) -> str | None:
    parts = arn.split(":")
    return parts[3] or None if len(parts) > 3 else None  # noqa: PLR2004  # arn:partition:service:region:...
