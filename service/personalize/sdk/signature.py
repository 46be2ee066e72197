"""Signs requests to Personalize's runtime: AWS Signature Version 4 of a POST of JSON, by the bytes the SDK's own.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from botocore.credentials import ReadOnlyCredentials

CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for besides its day."""

    region: str
    service: str
    """The name by which AWS signs it: `personalize`."""


@dataclass(frozen=True, slots=True)
class _Key:
    """Made of a secret for one day, which takes four hashes."""

    credentials: ReadOnlyCredentials
    day: str
    secret: bytes
    scope: str
    token: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What the headers of one request say."""

    amz_date: str
    """For `X-Amz-Date`."""

    token: str
    """For `X-Amz-Security-Token`; empty for none."""

    authorization: str
    """For `Authorization`."""


class Signer:
    """Signs for one host.

    Args:
        host: As in the header `Host`, with the port where it is not the scheme's own.
        scope: Region and service.
        unix_time: AWS takes signatures of the last and the next five minutes.
    """

    def __init__(self, host: str, scope: Scope, unix_time: Callable[[], float] = time.time) -> None:
        self._host = host
        self._scope = scope
        self._unix_time = unix_time
        self._second = 0
        self._amz_date = ""
        self._key: _Key | None = None

    def sign(self, path: str, body: bytes, credentials: ReadOnlyCredentials) -> Signature:
        """The signature of a POST to a plain path, without a query.

        Raises:
            ValueError: The credentials hold what no header may.
        """
        second = int(self._unix_time())
        if second != self._second:
            self._second, self._amz_date = second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return self.sign_at(self._amz_date, path, body, credentials)

    def sign_at(self, amz_date: str, path: str, body: bytes, credentials: ReadOnlyCredentials) -> Signature:
        """The same at another time, written `20261125T195908Z`."""
        key, day = self._key, amz_date[:8]
        if key is None or key.day != day or key.credentials != credentials:
            key = self._key = self._made(day, credentials)
        signed, token = "content-type;host;x-amz-date", ""
        if key.token:
            signed, token = f"{signed};x-amz-security-token", f"x-amz-security-token:{key.token}\n"
        request = (
            f"POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{self._host}\nx-amz-date:{amz_date}\n{token}\n{signed}\n"
            f"{sha256(body).hexdigest()}"
        )
        text = f"AWS4-HMAC-SHA256\n{amz_date}\n{key.scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(key.secret, text.encode(), "sha256").hex()
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{key.scope}, SignedHeaders={signed},"
            f" Signature={signature}"
        )
        return Signature(amz_date, credentials.token or "", authorization)

    def _made(self, day: str, credentials: ReadOnlyCredentials) -> _Key:
        if any(one in f"{credentials.access_key}{credentials.token or ''}" for one in "\r\n"):
            raise ValueError("the AWS credentials hold a line break")
        secret = f"AWS4{credentials.secret_key}".encode()
        for part in (day, self._scope.region, self._scope.service, "aws4_request"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        scope = f"{day}/{self._scope.region}/{self._scope.service}/aws4_request"
        # Blanks in a header's value count once in its signature.
        return _Key(credentials, day, secret, scope, " ".join((credentials.token or "").split()))
