"""What an operator can do about a failure of Amazon Personalize, in words; for the log and for `doctor`."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from botocore import exceptions as sdk

_RIGHTS: Final = (
    "allow the role personalize:GetRecommendations (for a ranking personalize:GetPersonalizedRanking) on this ARN and"
    " on the filter's"
)
_NOT_THERE: Final = "correct the ARN, its region and account, or the filter's; or what it names was deleted"
_ENDED: Final = "renew the credentials at their source; the service reads them again by itself"
_UNKNOWN_KEY: Final = "AWS does not know this access key: it was deleted, is mistyped, or belongs to another partition"
_SIGNATURE: Final = "correct the secret key, which does not belong to the access key, or this machine's clock"
NO_CREDENTIALS: Final = (
    "give the task, pod or instance a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; the service goes on"
    " looking"
)
_WAY: Final = "open the way to personalize-runtime in the ARN's region: its name, VPC endpoint, NAT, security group"
_INPUT: Final = "give the values that the filter's placeholders want; personalize-connect doctor shows Amazon's words"

ADVICE_BY_CODE: Final[Mapping[str, str]] = {
    "AccessDenied": _RIGHTS,
    "AccessDeniedException": _RIGHTS,
    "NotAuthorized": _RIGHTS,
    "ExpiredToken": _ENDED,
    "ExpiredTokenException": _ENDED,
    "RequestExpired": _ENDED,
    "IncompleteSignature": _SIGNATURE,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "InvalidSignatureException": _SIGNATURE,
    "MissingAuthenticationToken": NO_CREDENTIALS,
    "MissingAuthenticationTokenException": NO_CREDENTIALS,
    "OptInRequired": "subscribe the account to Amazon Personalize in this region",
    "ResourceNotFoundException": _NOT_THERE,
    "SignatureDoesNotMatch": _SIGNATURE,
    "UnrecognizedClientException": _UNKNOWN_KEY,
}
"""For refusals whose sentence speaks of credentials and resources only, never of the request's own values."""

_ADVICE_BY_CLASS: Final[Mapping[type[Exception], str]] = {
    sdk.NoCredentialsError: NO_CREDENTIALS,
    sdk.PartialCredentialsError: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY both, or neither",
    sdk.ConnectTimeoutError: _WAY,
    sdk.EndpointConnectionError: _WAY,
    sdk.SSLError: "trust the certificate of the endpoint or of the proxy before it: AWS_CA_BUNDLE",
    sdk.ProxyConnectionError: "correct HTTPS_PROXY, or let NO_PROXY name the endpoint",
}

MAX_PROBLEM_CHARACTERS: Final = 300


def code_of(error: BaseException) -> str:
    """AWS's code of an error, the SDK's own or one translated from it; empty if it is no answer of AWS."""
    for one in (error, error.__cause__):
        if isinstance(one, sdk.ClientError):
            return str(one.response.get("Error", {}).get("Code", ""))
    return ""


def advice_for(error: BaseException) -> str:
    """What to do about an error, the SDK's own or one translated from it; empty where nothing is known to help."""
    code = code_of(error)
    if code in ADVICE_BY_CODE:
        return ADVICE_BY_CODE[code]
    if code in ("InvalidInputException", "ValidationException"):
        return _INPUT
    for one in (error, error.__cause__):
        for ancestor in type(one).__mro__:
            if ancestor in _ADVICE_BY_CLASS:
                return _ADVICE_BY_CLASS[ancestor]
    return ""


def loggable(error: BaseException, values: Iterable[str] = ()) -> str:
    """The error in a line that holds nothing of the request: Amazon's sentences quote its values.

    A refusal's sentence stays where its code shows that it speaks of credentials or resources, and if it names none of
    the request's values all the same.

    Args:
        error: The SDK's own or one translated from it.
        values: What the caller wrote.
    """
    text, values = " ".join(str(error).split()), tuple(values)
    if isinstance(error.__cause__, sdk.ClientError) and code_of(error) not in ADVICE_BY_CODE:
        text = text.partition(":")[0]
    if _quotes(text, values):
        text = text.partition(":")[0]
        if _quotes(text, values):
            text = type(error).__name__
    return text[:MAX_PROBLEM_CHARACTERS]


def _quotes(text: str, values: Iterable[str]) -> bool:
    """Whether one of these stands in a text, as a word or more; a user called 1 does not stand in a number."""
    folded = text.casefold()
    for value in values:
        for written in {value.casefold(), json.dumps(value)[1:-1].casefold(), " ".join(value.casefold().split())}:
            if written.strip() and re.search(rf"(?<!\w){re.escape(written)}(?!\w)", folded):
                return True
    return False
