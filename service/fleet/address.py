"""What REDIS_URL says: where Redis is, how to get in, and nothing that would break the service."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

from service.constants import MAX_PORT
from service.errors import ConfigurationError

Kind = Literal["server", "cluster", "sentinel", "socket"]

SCHEMES: Final[Mapping[str, tuple[Kind, bool]]] = MappingProxyType(
    {
        "redis": ("server", False),
        "rediss": ("server", True),
        "redis+cluster": ("cluster", False),
        "rediss+cluster": ("cluster", True),
        "redis+sentinel": ("sentinel", False),
        "rediss+sentinel": ("sentinel", True),
        "unix": ("socket", False),
    }
)
"""Each scheme, what it names, and whether it speaks TLS. A `server` may turn out to be a node of a cluster."""

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password"})
PLAIN_OPTIONS: Final = frozenset({"db", "username", "password", "client_name"})

SET_BY_THE_SERVICE: Final = frozenset(
    {
        *("socket_timeout", "socket_connect_timeout", "timeout", "socket_read_size", "socket_keepalive"),
        *("retry_on_timeout", "retry_on_error", "retry", "max_connections", "health_check_interval", "protocol"),
        *("decode_responses", "encoding", "encoding_errors", "legacy_responses", "single_connection_client"),
    }
)
"""Options of the library that would break a promise: deadlines, the form of answers, how often something is tried."""

_CERT_REQS: Final = ("required", "optional", "none")
_TRUE: Final = frozenset({"true", "yes", "1", "on"})
_FALSE: Final = frozenset({"false", "no", "0", "off"})

_FORM: Final = (
    "must begin with one of redis://, rediss://, unix:// and name a host or a socket; redis+cluster:// and"
    " redis+sentinel:// (or rediss+...) name several hosts"
)

_PARTS: Final = re.compile(r"([^:/?#]+):(?://([^/?#]*))?([^?#]*)\??([^#]*)#?(.*)")
"""Scheme, user and hosts, path, query, fragment. Python's own reader takes one host, or refuses several with [ ]."""

_BREAKS: Final = re.compile(r"[\t\r\n]")
"""What may have come into a long address as it was written down."""

_NO_HOST: Final = re.compile(r"[\s\"'<>;\[\\\]^`{|}]")
"""What the name of no host has."""

_ESCAPES: Final = "in a user or password write @ as %40, : as %3A, / as %2F, ? as %3F and # as %23"


class HostPort(NamedTuple):
    """One listener."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsTerms:
    """How Redis's certificate is judged, and which one is shown to it."""

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    cert_reqs: str = "required"
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """Who enters; never shown."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is.

    Attributes:
        kind: What the hosts are.
        hosts: One server; some nodes of a cluster; the sentinels. None for a socket.
        path: The socket.
        service: The sentinels' name of the master.
        db: Number of the database.
        login: For Redis.
        sentinel_login: For the sentinels.
        tls: None without TLS.
        client_name: Shown by `CLIENT LIST`.
    """

    kind: Kind
    hosts: tuple[HostPort, ...]
    path: str
    service: str
    db: int
    login: Login
    sentinel_login: Login
    tls: TlsTerms | None
    client_name: str | None

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """The address that a URL names.

        Raises:
            ConfigurationError: It names none, or has an option that is unknown or would break the service. One line,
                without anything that could be a secret.
        """
        try:
            return _parsed(url.strip())
        except _WrongUrl as error:
            raise ConfigurationError(f"REDIS_URL: {error}") from None

    @property
    def shown(self) -> str:
        """For logs: the hosts, without user and password."""
        if self.kind == "socket":
            return self.path
        hosts = ",".join(map(str, self.hosts))
        return f"{self.service} of the sentinels {hosts}" if self.kind == "sentinel" else hosts


class _WrongUrl(Exception):  # it is the URL that is wrong
    """The rest of the operator's line."""


def _parsed(url: str) -> RedisAddress:
    parts = _PARTS.fullmatch(_BREAKS.sub("", url))
    if parts is None or (scheme := parts[1].lower()) not in SCHEMES:
        raise _WrongUrl(_FORM)
    server, in_path, query, fragment = parts.groups("")[1:]
    # What follows a character that should have been escaped is part of a secret, and must not be repeated.
    if fragment or "@" in query or "@" in in_path:
        raise _WrongUrl(f"has a character that must be escaped; {_ESCAPES}")
    kind, tls = SCHEMES[scheme]
    options = _options(scheme, query, kind, tls=tls)
    userinfo, _, netloc = server.rpartition("@")
    if "@" in userinfo and "," in userinfo:
        raise _WrongUrl(f"names user and password once, before the first host; {_ESCAPES}, and , as %2C")
    login = _login(userinfo, options)
    path, service = "", ""
    hosts: tuple[HostPort, ...] = ()
    if kind == "socket":
        path, database = unquote(in_path), ""
        if not path or netloc:
            raise _WrongUrl("must name a socket: unix:///path/to/redis.sock")
    else:
        hosts = tuple(_hosts(netloc, kind))
        service, database = _service_and_database(in_path, kind)
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        path=path,
        service=service,
        db=_database(database, options, kind),
        login=login,
        sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
        tls=_tls(options) if tls else None,
        client_name=options.get("client_name"),
    )


def _options(scheme: str, query: str, kind: Kind, *, tls: bool) -> dict[str, str]:
    known = PLAIN_OPTIONS | (TLS_OPTIONS if tls else frozenset()) | (SENTINEL_OPTIONS if kind == "sentinel" else set())
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in SET_BY_THE_SERVICE:
            raise _WrongUrl(f"the option {name} is the service's to set; leave it out")
        if name in TLS_OPTIONS and not tls:
            raise _WrongUrl(f"the option {name} is for TLS; write {scheme.replace('redis', 'rediss')}://")
        if name in SENTINEL_OPTIONS and kind != "sentinel":
            raise _WrongUrl(f"the option {name} is for redis+sentinel://")
        if name not in known:
            shown = f" {name}" if name.isascii() and name.isidentifier() and len(name) <= 40 else ""  # noqa: PLR2004
            raise _WrongUrl(f"there is no option{shown}; there are {', '.join(sorted(known))}")
        if name in options:
            raise _WrongUrl(f"the option {name} stands twice")
        if not value:
            raise _WrongUrl(f"the option {name} has no value")
        options[name] = value
    return options


def _login(userinfo: str, options: Mapping[str, str]) -> Login:
    user, _, password = userinfo.partition(":")
    return Login(unquote(user) or options.get("username"), unquote(password) or options.get("password"))


def _hosts(netloc: str, kind: Kind) -> Iterator[HostPort]:
    names = netloc.split(",")
    if len(names) > 1 and kind == "server":
        raise _WrongUrl("names several hosts; write redis+cluster:// or redis+sentinel://")
    default = DEFAULT_SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    for name in names:
        host, port = _host_and_port(name)
        if not host or _NO_HOST.search(host):
            raise _WrongUrl(f"{_FORM}; {_ESCAPES}")
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
            raise _WrongUrl(f"{_FORM}, with a port from 1 to {MAX_PORT}; {_ESCAPES}")
        yield HostPort(host, int(port) if port else default)


def _host_and_port(name: str) -> tuple[str, str]:
    if name.startswith("["):
        inside, end, after = name[1:].partition("]")
        try:
            IPv6Address(inside if end else name)
        except ValueError:
            raise _WrongUrl("what stands in [ ] must be an IPv6 address") from None
        if after and not after.startswith(":"):
            raise _WrongUrl("after [ ] there may be a colon and a port")
        return inside, after[1:]
    host, _, port = name.partition(":")
    if ":" in port:
        raise _WrongUrl(f"an IPv6 address stands in [ ]; {_ESCAPES}")
    return unquote(host), port


def _service_and_database(path: str, kind: Kind) -> tuple[str, str]:
    first, *others = path.strip("/").split("/")
    if kind == "sentinel":
        if not first:
            raise _WrongUrl("must name the master: redis+sentinel://host:port,host:port/name")
        if len(others) > 1:
            raise _WrongUrl("behind the hosts there may be the master's name and the database's number")
        return unquote(first), others[0] if others else ""
    if others:
        raise _WrongUrl("behind the host there may be the database's number only")
    return "", first


def _database(in_path: str, options: Mapping[str, str], kind: Kind) -> int:
    named = {one for one in (in_path, options.get("db", "")) if one}
    if len(named) > 1:
        raise _WrongUrl("names two databases")
    if not named:
        return 0
    [text] = named
    if not (text.isascii() and text.isdigit()):
        raise _WrongUrl("the database must be a number such as /0")
    if int(text) and kind == "cluster":
        raise _WrongUrl("a cluster has database 0 only")
    return int(text)


def _tls(options: Mapping[str, str]) -> TlsTerms:
    cert_reqs = options.get("ssl_cert_reqs", "required").lower()
    if cert_reqs not in _CERT_REQS:
        raise _WrongUrl(f"the option ssl_cert_reqs is one of {', '.join(_CERT_REQS)}")
    check = options.get("ssl_check_hostname", "true").lower()
    if check not in _TRUE | _FALSE:
        raise _WrongUrl("the option ssl_check_hostname is true or false")
    return TlsTerms(
        ca_certs=options.get("ssl_ca_certs"),
        certfile=options.get("ssl_certfile"),
        keyfile=options.get("ssl_keyfile"),
        cert_reqs=cert_reqs,
        check_hostname=check in _TRUE and cert_reqs != "none",
    )
