"""What Amazon Personalize and the AWS SDK raise, translated into the service's own errors; nothing else does it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import aiohttp
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from service.errors import RecommenderError, RecommenderRefused, RecommenderThrottled, RecommenderTimeout

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
