"""Why Redis cannot be used, in words for the operator, and whether it will pass by itself."""

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from service.errors import ServiceError

_IN_QUOTES: Final = re.compile(r"(?<!\w)'([^']*)'|\"[^\"]*\"")
_COMMAND: Final = re.compile(r"[A-Za-z]+(?:\|[A-Za-z]+)?")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why Redis cannot be used.

    Attributes:
        kind: One word for all causes that have the same remedy.
        words: For the operator; no secret.
        lasting: Whether it stays until somebody changes something. Asking again every moment would not help.
    """

    kind: str
    words: str
    lasting: bool = False


NO_TLS: Final = Cause("tls", "there is no TLS at this port; write redis:// for a Redis without it", lasting=True)


FAILURES: Final = (RedisError, RedisClusterException, OSError)
"""What the library and the system raise where Redis fails. The second is that of a cluster's nodes, and no
`RedisError`. Time that is over is an `OSError`."""


class Refusal(Exception):  # that which was refused is no error of ours
    """Redis answers, and what it is or allows is not enough; raised while the way to Redis is found."""

    def __init__(self, kind: str, words: str, *, lasting: bool = True) -> None:
        super().__init__(words)
        self.cause = Cause(kind, words, lasting)


_ANSWERS: Final[tuple[tuple[str, str, str, bool], ...]] = (
    ("NOPERM", "rights", "the user lacks a right", True),
    ("WRONGPASS", "password", "Redis does not know the user or password of REDIS_URL", True),
    ("NOAUTH", "password", "Redis wants a password, and REDIS_URL has none", True),
    ("MISCONF", "disk", "Redis cannot save its data and takes no writes", True),
    ("NOREPLICAS", "replicas", "Redis has too few replicas and takes no writes", False),
    ("READONLY", "read_only", "this server is a replica, which takes no writes", False),
    ("MASTERDOWN", "read_only", "this server is a replica without its master", False),
    ("LOADING", "loading", "Redis is loading its data", False),
    ("CLUSTERDOWN", "cluster", "the cluster does not serve all its slots", False),
    ("BUSY", "busy", "Redis is busy with a script", False),
    ("UNKILLABLE", "busy", "Redis is busy with a script", False),
    ("DENIED", "protected", "Redis is in protected mode and lets nobody in from elsewhere", True),
    ("ERR DB index is out of range", "database", "Redis has no database of this number", True),
    ("ERR SELECT is not allowed in cluster mode", "database", "a cluster has database 0 only", True),
    ("ERR max number of clients", "clients", "Redis takes no more connections (maxclients)", False),
    ("ERR unknown command", "command", "Redis does not know a command that is needed", True),
    ("ERR Error compiling script", "version", "Redis cannot read the service's scripts", True),
    ("ERR The user executing the script can't run", "rights", "the user lacks a right", True),
)
"""How an answer begins, its kind, what it means, and whether it lasts. Source: Redis's own messages, 7.0 to 8.x."""

MAX_QUOTED_CHARACTERS: Final = 200
"""Of Redis's own words in a log line."""

_NO_PASSWORD_SET: Final = ("without any password configured", "no password is set")

_CERTIFICATES: Final = (
    ("hostname mismatch", "is for another name"),
    ("ip address mismatch", "is for another address"),
    ("has expired", "has expired"),
    ("not yet valid", "is not valid yet"),
    ("self-signed", "is signed by itself or by an authority that is not known here; name its file in ssl_ca_certs"),
    ("self signed", "is signed by itself or by an authority that is not known here; name its file in ssl_ca_certs"),
    ("unable to get", "is signed by an authority that is not known here; name its file in ssl_ca_certs"),
)


_OF_THE_SYSTEM: Final[tuple[tuple[type[OSError], Cause], ...]] = (
    (ConnectionRefusedError, Cause("refused", "nothing listens there, or a firewall refuses the connection")),
    (FileNotFoundError, Cause("socket", "there is no such socket")),
    (PermissionError, Cause("socket", "this process may not open it")),
)

_OF_THE_LIBRARY: Final = (
    ("connection refused", Cause("refused", "nothing listens there, or a firewall refuses the connection")),
    ("look-up", Cause("name", "the look-up of the host's name takes too long")),
    ("no connection available", Cause("timeout", "no answer in time: all connections are waiting for one")),
    ("maxconnections", Cause("timeout", "no answer in time: all connections are waiting for one")),
    (
        "protocol error",
        Cause("protocol", "what answers there does not speak Redis's protocol; a port with TLS wants rediss://"),
    ),
    (
        "invalidresponse",
        Cause("protocol", "what answers there does not speak Redis's protocol; a port with TLS wants rediss://"),
    ),
    ("slotnotcovered", Cause("cluster", "the cluster does not serve all its slots")),
    ("redisclusterexception", Cause("cluster", "the cluster's nodes cannot be asked")),
)

_CLOSED: Final = (
    "closed",
    "connection lost",
    "connection not ready",
    "has data",
    "reset",
    "broken pipe",
    "0 bytes",
    "incompleteread",
)


def read_wrong(error: BaseException) -> BaseException:
    """What the library raised as it read an answer that is none of Redis's, as such; any other error as it is."""
    traceback = error.__traceback__
    if traceback is None or not isinstance(error, (ValueError, TypeError, LookupError, AttributeError)):
        return error
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    if not str(traceback.tb_frame.f_globals.get("__name__")).startswith("redis."):
        return error
    wrong = InvalidResponse(f"Protocol error: {type(error).__name__}")
    wrong.__cause__ = error
    return wrong


def cause_of(error: BaseException, *, tls: bool) -> Cause:
    """What an error of the library or of the system means.

    Args:
        error: As it was raised while Redis was asked.
        tls: Whether TLS was spoken.
    """
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, Refusal):
            return one.cause
    for one in chain:
        if isinstance(one, ssl.SSLError):
            return _of_tls(one)
        if isinstance(one, socket.gaierror):
            return Cause("name", f"the host is not found ({one.strerror})")
    for one in chain:
        if isinstance(one, ServiceError):
            return Cause("clock", str(one))
        if isinstance(one, (ResponseError, AuthenticationError)) or _speaks(one):
            return _of_answer(answer_of(one))
    return _of_network(chain, tls=tls)


def _of_answer(answer: str) -> Cause:
    if any(words in answer for words in _NO_PASSWORD_SET):
        return Cause("password", "REDIS_URL has a password, and Redis has none set", lasting=True)
    for beginning, kind, meaning, lasting in _ANSWERS:
        if answer.startswith(beginning) or (beginning == "NOPERM" and beginning in answer):
            return Cause(kind, f"{meaning}: {_quoted(answer)}", lasting)
    return Cause("answer", f"Redis answered {_quoted(answer)}")


def _of_tls(error: ssl.SSLError) -> Cause:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message or str(error)
        meaning = next((meaning for words, meaning in _CERTIFICATES if words in said.lower()), f"is refused: {said}")
        return Cause("certificate", f"Redis's certificate {meaning} ({said})", lasting=True)
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return NO_TLS
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason or "UNKNOWN_CA" in reason:
        return Cause("certificate", f"Redis refuses our certificate or has none in common ({reason})", lasting=True)
    return Cause("tls", f"TLS failed ({reason or error.strerror or 'without a reason'})")


def _of_network(chain: list[BaseException], *, tls: bool) -> Cause:
    for one in chain:
        for error, cause in _OF_THE_SYSTEM:
            if isinstance(one, error):
                return cause
    said = " ".join(f"{type(one).__name__} {one}" for one in chain).lower()
    for words, cause in _OF_THE_LIBRARY:
        if words in said:
            return cause
    if any(words in said for words in _CLOSED):
        hint = "Redis may want our certificate (ssl_certfile)" if tls else "a port with TLS wants rediss://"
        return Cause("closed", f"the connection was closed; {hint}")
    if "timeout" in said:
        what = "take the connection" if "connecting" in said else "answer"
        return Cause("timeout", f"it did not {what} in time")
    reason = next((one.strerror for one in chain if isinstance(one, OSError) and one.strerror), type(chain[0]).__name__)
    return Cause("network", f"the network failed ({reason})")


def answer_of(error: BaseException) -> str:
    """Redis's answer as Redis wrote it.

    The library takes its first word away, and a pipeline writes something before it.
    """
    said = str(error).rpartition(" of pipeline caused error: ")[2]
    code = getattr(error, "status_code", None)
    return f"{code} {said}" if code and not said.startswith(str(code)) else said


def _speaks(error: BaseException) -> bool:
    """Whether the library turned one of Redis's answers into an error of another family."""
    said = answer_of(error)
    return any(said.startswith(beginning) for beginning, *_ in _ANSWERS)


def _quoted(answer: str) -> str:
    """Redis's own words, one line of them, without the arguments that it repeats."""
    line = " ".join(answer.partition(", with args beginning")[0].split())
    line = _IN_QUOTES.sub(lambda found: found[0] if _COMMAND.fullmatch(found[1] or "") else "'...'", line)
    return f"'{line[:MAX_QUOTED_CHARACTERS]}'"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
