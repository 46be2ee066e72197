"""Calls a service over HTTP as Braze does, and nothing else."""

import string
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Final

from service.braze.ports import CALL_SECONDS, MAX_ANSWER_BYTES, UNREACHABLE, Answer, Call

USER_AGENT: Final = "Braze Sender 0000000"
"""Braze's is of this form."""

PATHS: Final = ("/recommendations", "/similar-items", "/ranking")
"""What a template may call. A prefix before them is the proxy's."""

BRAZE_PORTS: Final = (None, 80, 443)
"""Source: braze.com/docs, Make a Connected Content API call."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it goes out."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None


class Addresses:
    """Turns a template's call into one of the service, whatever host the template names.

    A call to another path goes nowhere, so a template cannot make this machine call strangers. Credentials go to the
    service only.

    Args:
        service: The service's address, with the prefix before its paths if it has one.
        credentials: Headers that `:basic_auth NAME` or `:auth_credentials NAME` sends, by name; the name `*` stands for
            any.
    """

    def __init__(self, service: str, credentials: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._service = service.rstrip("/")
        self._origin = urllib.parse.urlsplit(self._service).netloc
        self._credentials = credentials or {}
        self._last: tuple[Call, Asked | Answer] | None = None

    def asked(self, call: Call) -> Asked | Answer:
        """What goes out; the answer if nothing does."""
        # The passes of a message call one after another, and alike.
        if self._last is None or self._last[0] != call:
            self._last = call, self._asked(call)
        return self._last[1]

    def _asked(self, call: Call) -> Asked | Answer:
        try:
            parts = urllib.parse.urlsplit(call.url)
            port = parts.port
        except ValueError:
            return Answer(UNREACHABLE, problem="this is no address")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return Answer(UNREACHABLE, problem="an address begins with https:// and a host")
        if port not in BRAZE_PORTS and parts.netloc != self._origin:
            return Answer(UNREACHABLE, problem="Braze calls the ports 80 and 443 only")
        path = next((one for one in PATHS if parts.path.rstrip("/").endswith(one)), None)
        if path is None:
            return Answer(UNREACHABLE, problem="not called: only the service is, at " + ", ".join(PATHS))
        credential = (
            self._credentials.get(call.credential or "", self._credentials.get("*", {})) if call.credential else {}
        )
        prefix = len(parts.path.rstrip("/")) - len(path)
        query = f"?{parts.query}" if parts.query else ""
        url = self._service + parts.path[prefix:] + query
        return Asked(
            # `safe`: what is in the URL stays as it is; only what no client can send is escaped.
            urllib.parse.quote(url, safe=string.punctuation),
            call.method,
            {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **credential, **call.headers},
            call.body.encode() if call.method == "POST" else None,
        )


class ServiceCaller:
    """Answers a call from one service.

    Args:
        service: Its address.
        credentials: Of the service; for both see `Addresses`.
        seconds: For the whole call.
    """

    def __init__(
        self, service: str, credentials: Mapping[str, Mapping[str, str]] | None = None, seconds: float = CALL_SECONDS
    ) -> None:
        self._addresses = Addresses(service, credentials)
        self._seconds = seconds
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)

    def __call__(self, call: Call) -> Answer:
        """The service's answer."""
        asked = self._addresses.asked(call)
        return asked if isinstance(asked, Answer) else self._fetch(asked)

    def _fetch(self, asked: Asked) -> Answer:
        request = urllib.request.Request(  # noqa: S310  # the service's own address
            asked.url, data=asked.body, headers=dict(asked.headers), method=asked.method
        )
        end = time.monotonic() + self._seconds
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                body = bytearray()
                while read := answer.read1(1 << 16):
                    body += read
                    if time.monotonic() > end:
                        return Answer(UNREACHABLE, problem=f"no answer within {self._seconds:g} s")
                    if len(body) > MAX_ANSWER_BYTES:
                        break
                raw = _unpacked(body) if answer.headers.get("Content-Encoding") == "gzip" else bytes(body)
                if len(raw) > MAX_ANSWER_BYTES:
                    return Answer(answer.status, problem="the answer is longer than 1 MB")
                return Answer(answer.status, raw.decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, problem=error.read(300).decode("utf-8", "replace"))
        except (OSError, HTTPException, ValueError, zlib.error, EOFError) as error:
            return Answer(UNREACHABLE, problem=f"no answer: {error}")


def _unpacked(body: bytes | bytearray) -> bytes:
    """What is packed by gzip, as far as an answer may be long and one byte more."""
    unpacking = zlib.decompressobj(wbits=_GZIP)
    raw = unpacking.decompress(body, MAX_ANSWER_BYTES + 1)
    if not unpacking.eof and len(raw) <= MAX_ANSWER_BYTES:
        raise EOFError("the answer is cut off")
    return raw


_GZIP: Final = 16 + zlib.MAX_WBITS


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917  # urllib's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """A redirect is an answer like any other, and not a 2XX."""
