"""E5: what each answer of Redis, and each failure of the network, means for the operator; no server is needed."""

import errno
import socket
import ssl

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ExecAbortError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
)
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as SilentError

from service.errors import SharedStateUnavailable
from service.fleet.causes import Refusal, answer_of, cause_of, read_wrong

ANSWERS: list[tuple[RedisError, str, bool, str]] = [
    (NoPermissionError("this user has no permissions to run the 'get' command"), "answer", False, "Redis answered"),
    (ResponseError("NOPERM no permissions to run the 'get' command"), "rights", True, "lacks a right: 'NOPERM no perm"),
    (ResponseError("@user_script: NOPERM no permissions"), "rights", True, "lacks a right"),
    (ResponseError("ERR The user executing the script can't run this"), "rights", True, "lacks a right"),
    (AuthenticationError("WRONGPASS invalid username-password pair"), "password", True, "does not know the user"),
    (AuthenticationError("NOAUTH Authentication required."), "password", True, "wants a password, and REDIS_URL has"),
    (
        AuthenticationError("AUTH <password> called without any password configured for the default user"),
        "password",
        True,
        "REDIS_URL has a password, and Redis has none set",
    ),
    (ResponseError("MISCONF Redis is configured to save RDB"), "disk", True, "cannot save its data"),
    (ResponseError("NOREPLICAS Not enough good replicas"), "replicas", False, "too few replicas"),
    (ReadOnlyError("READONLY You can't write"), "read_only", False, "this server is a replica, which takes no"),
    (MasterDownError("MASTERDOWN Link with MASTER is down"), "read_only", False, "a replica without its master"),
    (BusyLoadingError("LOADING Redis is loading"), "loading", False, "loading its data"),
    (ResponseError("CLUSTERDOWN The cluster is down"), "cluster", False, "does not serve all its slots"),
    (ResponseError("BUSY Redis is busy running a script"), "busy", False, "busy with a script"),
    (ResponseError("UNKILLABLE Sorry the script"), "busy", False, "busy with a script"),
    (ResponseError("DENIED Redis is running in protected mode"), "protected", True, "protected mode"),
    (ResponseError("ERR DB index is out of range"), "database", True, "no database of this number"),
    (ResponseError("ERR SELECT is not allowed in cluster mode"), "database", True, "a cluster has database 0 only"),
    (ResponseError("ERR max number of clients reached"), "clients", False, "takes no more connections"),
    (ResponseError("ERR unknown command 'HELLO', with args beginning with: 'x'"), "command", True, "does not know a"),
    (ResponseError("ERR Error compiling script (new function)"), "version", True, "cannot read the service's scripts"),
    (ResponseError("ERR something else"), "answer", False, "Redis answered 'ERR something else'"),
    # One of the library's families that is no answer by its type, and a pipeline's words before it.
    (LostError("max number of clients reached"), "network", False, "the network failed"),
    (LostError("ERR max number of clients reached"), "clients", False, "takes no more connections"),
    (
        ExecAbortError("Command # 1 (GET k) of pipeline caused error: NOPERM no permissions"),
        "rights",
        True,
        "lacks a right: 'NOPERM no permissions'",
    ),
]


@pytest.mark.parametrize(("error", "kind", "lasting", "words"), ANSWERS, ids=lambda one: str(one)[:40])
def test_each_answer_of_redis_has_its_meaning(error: RedisError, kind: str, words: str, *, lasting: bool) -> None:
    cause = cause_of(error, tls=False)
    assert (cause.kind, cause.lasting) == (kind, lasting), cause.words
    assert words in cause.words


def certificate_error(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_message = message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "of the library")
    error.reason = reason
    return error


def caused(error: Exception, by: BaseException) -> Exception:
    error.__cause__ = by
    return error


FAILURES: list[tuple[BaseException, bool, str, bool, str]] = [
    (Refusal("sentinel", "a sentinel"), False, "sentinel", True, "a sentinel"),
    (Refusal("master", "another", lasting=False), False, "master", False, "another"),
    (caused(RedisError("failed"), Refusal("tls", "speaks TLS")), False, "tls", True, "speaks TLS"),
    (SharedStateUnavailable("Redis's clock is not what it was"), False, "clock", False, "is not what it was"),
    (caused(LostError("no"), certificate_error("Hostname mismatch")), True, "certificate", True, "is for another name"),
    (certificate_error("IP address mismatch"), True, "certificate", True, "is for another address"),
    (certificate_error("certificate has expired"), True, "certificate", True, "has expired"),
    (certificate_error("certificate is not yet valid"), True, "certificate", True, "is not valid yet"),
    (certificate_error("self-signed certificate"), True, "certificate", True, "name its file in ssl_ca_certs"),
    (certificate_error("unable to get local issuer"), True, "certificate", True, "not known here; name its file"),
    (certificate_error("CRL has gone"), True, "certificate", True, "is refused: CRL has gone (CRL has gone)"),
    (tls_error("WRONG_VERSION_NUMBER"), True, "tls", True, "there is no TLS at this port"),
    (tls_error("RECORD_LAYER_FAILURE"), True, "tls", True, "there is no TLS at this port"),
    (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, "certificate", True, "refuses our certificate"),
    (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), True, "certificate", True, "refuses our certificate"),
    (tls_error("TLSV1_ALERT_UNKNOWN_CA"), True, "certificate", True, "refuses our certificate"),
    (tls_error("OTHER"), True, "tls", False, "TLS failed (OTHER)"),
    (tls_error(""), True, "tls", False, "TLS failed (of the library)"),
    (caused(LostError("x"), socket.gaierror(-2, "not known")), False, "name", False, "is not found (not known)"),
    (caused(LostError("x"), ConnectionRefusedError()), False, "refused", False, "nothing listens there"),
    (FileNotFoundError(), False, "socket", False, "no such socket"),
    (PermissionError(), False, "socket", False, "may not open it"),
    (LostError("Error 111 connecting: Connection refused."), False, "refused", False, "nothing listens there"),
    (TimeoutError("the look-up of cache takes longer"), False, "name", False, "takes too long"),
    (LostError("No connection available."), False, "timeout", False, "all connections are waiting"),
    (LostError("MaxConnectionsError"), False, "timeout", False, "all connections are waiting"),
    (InvalidResponse("Protocol error: no list"), False, "protocol", False, "does not speak Redis's protocol"),
    (InvalidResponse("odd"), False, "protocol", False, "does not speak Redis's protocol"),
    (SlotNotCoveredError('Slot "1" is not covered'), False, "cluster", False, "does not serve all its slots"),
    (RedisClusterException("no node"), False, "cluster", False, "nodes cannot be asked"),
    (LostError("Connection closed by server."), False, "closed", False, "a port with TLS wants rediss://"),
    # With maxclients: the words are those of the library.
    *(
        (LostError(said), False, "closed", False, "the connection was closed")
        for said in (
            "Error UNKNOWN while writing to socket. Connection lost.",
            "Connection not ready",
            "Connection has data",
            "Error 104 while writing to socket. Connection reset by peer.",
        )
    ),
    (LostError("Connection closed by server."), True, "closed", False, "may want our certificate"),
    (SilentError("Timeout connecting to server"), False, "timeout", False, "did not take the connection in time"),
    (SilentError("Timeout reading from socket"), False, "timeout", False, "did not answer in time"),
    (TimeoutError(), False, "timeout", False, "did not answer in time"),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), False, "network", False, "failed (Network is unreachable)"),
    (RedisError("odd"), False, "network", False, "the network failed (RedisError)"),
]


@pytest.mark.parametrize(("error", "tls", "kind", "lasting", "words"), FAILURES, ids=lambda one: repr(one)[:40])
def test_each_failure_has_its_meaning(error: BaseException, kind: str, words: str, *, tls: bool, lasting: bool) -> None:
    cause = cause_of(error, tls=tls)
    assert (cause.kind, cause.lasting) == (kind, lasting), cause.words
    assert words in cause.words


def test_an_answer_is_quoted_in_one_line_without_what_it_repeats_and_not_at_any_length() -> None:
    said = "ERR can't 'get' 'a secret' of\nours by 'acl|list' \"or a key\", with args beginning: 'x'"
    assert cause_of(ResponseError(said), tls=False).words == (
        "Redis answered 'ERR can't 'get' '...' of ours by 'acl|list' '...''"
    )
    long = cause_of(ResponseError("ERR " + "x" * 500), tls=False).words
    assert long == f"Redis answered 'ERR {'x' * 196}'"


def test_the_first_word_that_the_library_takes_away_is_there_again() -> None:
    error = ResponseError("no permissions")
    assert answer_of(error) == "no permissions"
    error.status_code = "NOPERM"
    assert answer_of(error) == "NOPERM no permissions"
    error = ResponseError("NOPERM no permissions")
    error.status_code = "NOPERM"
    assert answer_of(error) == "NOPERM no permissions"


def test_a_chain_of_errors_that_leads_back_to_itself_ends() -> None:
    one, other = LostError("one"), ConnectionRefusedError()
    one.__cause__, other.__context__ = other, one
    assert cause_of(one, tls=False).kind == "refused"


def test_only_what_the_library_itself_raised_was_a_wrong_answer() -> None:
    from redis._parsers.helpers import parse_zadd  # noqa: PLC0415  # a reader of the library's, not public

    with pytest.raises(ValueError, match="int") as raised:
        parse_zadd(b"no number")  # type: ignore[no-untyped-call]  # the library's
    wrong = read_wrong(raised.value)
    assert isinstance(wrong, InvalidResponse)
    assert str(wrong) == "Protocol error: ValueError"
    assert wrong.__cause__ is raised.value
    # Ours, and one that nobody has raised.
    with pytest.raises(ValueError, match="int") as ours:
        int("no number")
    assert read_wrong(ours.value) is ours.value
    assert isinstance(read_wrong(unraised := ValueError()), ValueError)
    assert read_wrong(unraised) is unraised
    lost = LostError("closed")
    assert read_wrong(lost) is lost
