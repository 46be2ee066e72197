"""Whether Personalize can be asked in the plain way: by requests of our own that are the SDK's to the byte.

The SDK spends most of a transaction's processor time on what never changes. So it shows once what it would send, and
`reason_for_sdk` decides whether the same can be put together without it. Whatever it does not know is left to the SDK.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.credentials import ReadOnlyCredentials

from service.personalize.sdk.connections import Place
from service.personalize.sdk.signature import CONTENT_TYPE, Scope, Signer

_CONSTANT: Final = {"content-type": CONTENT_TYPE, "amz-sdk-request": "attempt=1"}
_CHANGING: Final = {
    "user-agent",
    "x-amz-date",
    "x-amz-security-token",
    "authorization",
    "amz-sdk-invocation-id",
    "content-length",
}
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A request that the SDK has put together and not sent, and what it would have sent it with."""

    method: str
    url: str
    headers: Mapping[str, str]
    """By names in lower case."""

    body: bytes
    credentials: ReadOnlyCredentials
    """What it is signed with."""

    proxy: str | None
    verifies: bool | str
    """Whether certificates are verified; the path of a CA bundle of the operator's own."""

    has_client_certificate: bool
    tls: ssl.SSLContext
    is_special: str = ""
    """What of the SDK's settings asks for another kind of endpoint."""


@dataclass(frozen=True, slots=True)
class PlainWay:
    """All that the requests have in common."""

    place: Place
    signer: Signer
    user_agent: str
    paths: Mapping[str, str]
    """By the SDK's name of the operation."""

    @classmethod
    def of(cls, rehearsals: Mapping[str, Rehearsal]) -> "PlainWay":
        """The way of the requests in which `reason_for_sdk` has found nothing."""
        one = next(iter(rehearsals.values()))
        url = urlsplit(one.url)
        place = Place(
            url=f"{url.scheme}://{url.netloc}",
            host=url.hostname or "",
            port=url.port or _PORTS[url.scheme],
            tls=one.tls if url.scheme == "https" else None,
        )
        paths = {operation: urlsplit(rehearsal.url).path for operation, rehearsal in rehearsals.items()}
        return cls(place, Signer(url.netloc.lower(), scope_of(one)), one.headers["user-agent"], paths)


def reason_for_sdk(rehearsals: Mapping[str, Rehearsal]) -> str:
    """Why only the SDK may ask, in words; empty where its requests are plain.

    Args:
        rehearsals: One request for each operation.
    """
    if len({(urlsplit(one.url).scheme, urlsplit(one.url).netloc) for one in rehearsals.values()}) != 1:
        return "the operations have endpoints of their own"
    return next(filter(None, map(_reason, rehearsals.values())), "")


def _reason(one: Rehearsal) -> str:
    return one.is_special or _reason_in_connection(one) or _reason_in_headers(one)


def _reason_in_connection(one: Rehearsal) -> str:
    if one.proxy is not None:
        return "there is a proxy"
    url = urlsplit(one.url)
    if url.scheme not in _PORTS or url.query or url.fragment or "@" in url.netloc or not _is_name(url.hostname):
        return "the endpoint's address is an unusual one"
    if url.path.count("/") != 1 or not url.path[1:].replace("-", "").isalpha():
        return "the endpoint has a path of its own"
    if url.scheme == "https" and one.verifies is not True:
        return "certificates are verified by a bundle of the operator's own, or not at all"
    if url.scheme == "https" and one.has_client_certificate:
        return "there is a certificate of the client"
    return ""


def _reason_in_headers(one: Rehearsal) -> str:
    headers, url = one.headers, urlsplit(one.url)
    if one.method != "POST" or headers.keys() | {"x-amz-security-token"} != _CHANGING | _CONSTANT.keys():
        return f"the SDK sends other headers: {', '.join(sorted(headers))}"
    if any(headers[name] != wanted for name, wanted in _CONSTANT.items()):
        return "the SDK sends other values in its headers"
    signer = Signer(url.netloc.lower(), scope_of(one))
    expected = signer.sign_at(headers["x-amz-date"], url.path, one.body, one.credentials)
    if (headers["authorization"], headers.get("x-amz-security-token", "")) != (expected.authorization, expected.token):
        return "the SDK signs in another way"
    return ""


def _is_name(host: str | None) -> bool:
    return bool(host) and str(host).isascii() and str(host).replace("-", "").replace(".", "").isalnum()


def scope_of(one: Rehearsal) -> Scope:
    """What a request is signed for; empty names where it is signed otherwise."""
    parts = one.headers.get("authorization", "").partition("Credential=")[2].partition(",")[0].split("/")
    return Scope(*parts[-3:-1]) if len(parts) >= 5 else Scope("", "")  # noqa: PLR2004  # key/day/region/service/aws4_request


def special_endpoint(config: Any) -> str:  # noqa: ANN401  # the SDK has no types
    """What of the SDK's settings asks for another kind of endpoint than a region's own; empty for nothing."""
    if config.use_fips_endpoint:
        return "AWS_USE_FIPS_ENDPOINT is set"
    if config.use_dualstack_endpoint:
        return "AWS_USE_DUALSTACK_ENDPOINT is set"
    return ""
