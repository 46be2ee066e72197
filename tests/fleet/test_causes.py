"""E5: what the log says of a Redis that cannot be used, on real servers."""

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.clock import Clock
from service.errors import ConfigurationError
from service.fleet.address import HostPort, RedisAddress
from service.fleet.client import RedisClient
from service.fleet.connections import Connector
from tests.support.certificates import certificate
from tests.support.fleet import join
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.streams import Serve, serving
from tests.support.waiting import until

pytestmark = pytest.mark.processes

SECRET = "hunter2"


@dataclass(frozen=True)
class Servers:
    """One for each way to be wrong."""

    plain: RedisServer
    guarded: RedisServer
    tls: RedisServer
    tls_with_client_certificates: RedisServer
    elsewhere: RedisServer
    old: RedisServer
    replica: RedisServer
    folder: Path
    silent: int
    odd: int

    def url(self, form: str) -> str:
        ports = {
            name: one.port if isinstance(one, RedisServer) else one
            for name, one in vars(self).items()
            if not isinstance(one, Path)
        }
        return form.format(**ports, closed=free_port(), folder=self.folder)


def tls_server(folder: Path, name: str, *, clients: str) -> RedisServer:
    port = free_port()
    options: tuple[str, ...] = ("--tls-port", str(port), "--tls-auth-clients", clients)
    options += ("--tls-ca-cert-file", str(folder / "own.crt"))
    options += ("--tls-cert-file", str(folder / f"{name}.crt"), "--tls-key-file", str(folder / f"{name}.key"))
    return RedisServer(port, options=options, listens=False)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("certificates")
    certificate(folder, "own", "DNS:localhost,IP:127.0.0.1")
    certificate(folder, "other", "DNS:elsewhere.example")
    certificate(folder, "old", "DNS:localhost", days=-1)
    with ExitStack() as stack:
        plain = stack.enter_context(RedisServer(options=("--databases", "4")))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        odd = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        yield Servers(
            plain=plain,
            guarded=stack.enter_context(RedisServer(options=("--requirepass", SECRET))),
            tls=stack.enter_context(tls_server(folder, "own", clients="no")),
            tls_with_client_certificates=stack.enter_context(tls_server(folder, "own", clients="yes")),
            elsewhere=stack.enter_context(tls_server(folder, "other", clients="no")),
            old=stack.enter_context(tls_server(folder, "old", clients="no")),
            replica=stack.enter_context(RedisServer(options=("--replicaof", f"127.0.0.1 {plain.port}"))),
            folder=folder,
            silent=silent.getsockname()[1],
            odd=odd.getsockname()[1],
        )


@pytest.mark.parametrize(
    ("form", "event", "cause"),
    [
        ("redis://127.0.0.1:{closed}", "redis_down", "nothing listens there"),
        ("redis://127.0.0.1:{silent}", "redis_down", "it did not answer in time"),
        ("rediss://127.0.0.1:{silent}", "redis_down", "in time"),
        ("redis://nobody.invalid:6379", "redis_down", "the host is not found"),
        ("redis://:{closed}x@127.0.0.1:{guarded}", "redis_refused", "Redis does not know the user or password"),
        ("redis://127.0.0.1:{guarded}", "redis_refused", "Redis wants a password, and REDIS_URL has none"),
        ("redis://:hunter2@127.0.0.1:{plain}", "redis_refused", "REDIS_URL has a password, and Redis has none set"),
        ("redis://somebody:hunter2@127.0.0.1:{plain}", "redis_refused", "Redis does not know the user or password"),
        ("redis://127.0.0.1:{plain}/7", "redis_refused", "Redis has no database of this number"),
        ("rediss://127.0.0.1:{plain}", "redis_refused", "there is no TLS at this port"),
        ("redis://127.0.0.1:{tls}", "redis_refused", "this port speaks TLS; write rediss://"),
        ("rediss://127.0.0.1:{tls}", "redis_refused", "Redis's certificate is signed by itself"),
        (
            "rediss://127.0.0.1:{tls}?ssl_ca_certs={folder}/other.crt",
            "redis_refused",
            "Redis's certificate is signed by itself",
        ),
        (
            "rediss://127.0.0.2:{tls}?ssl_ca_certs={folder}/own.crt",
            "redis_down",
            "nothing listens there",
        ),
        (
            "rediss://127.0.0.1:{elsewhere}?ssl_ca_certs={folder}/other.crt",
            "redis_refused",
            "Redis's certificate is for another address",
        ),
        (
            "rediss://localhost:{elsewhere}?ssl_ca_certs={folder}/other.crt",
            "redis_refused",
            "Redis's certificate is for another name",
        ),
        ("rediss://localhost:{old}?ssl_ca_certs={folder}/old.crt", "redis_refused", "Redis's certificate has expired"),
        ("redis://127.0.0.1:{replica}", "redis_down", "this server is a replica, which takes no writes"),
        ("unix:///nowhere/redis.sock", "redis_down", "there is no such socket"),
        ("redis+cluster://127.0.0.1:{plain}", "redis_refused", "is not in cluster mode"),
        ("redis+sentinel://127.0.0.1:{plain}/main", "redis_refused", "Redis does not know a command"),
        ("redis+sentinel://127.0.0.1:{closed}/main", "redis_down", "nothing listens there"),
    ],
)
async def test_the_cause_is_named_once_in_words_with_the_host(
    servers: Servers, clock: Clock, form: str, event: str, cause: str
) -> None:
    """E5: all of them were a ConnectionError."""
    url = servers.url(form)
    with capture_logs() as logs:
        async with join(url, clock, heartbeat_seconds=600, timeout_seconds=0.5) as member:
            for _ in range(2):
                await member.heartbeat.beat()
            assert not member.client.up
            host = member.client.address.shown

    [line] = logs
    assert line["event"] == event
    assert cause in line["cause"]
    assert line["redis"] == host
    assert SECRET not in repr(logs)


def test_a_look_for_tls_waits_for_no_goodbye(servers: Servers) -> None:
    """A connection that is closed politely stays open until the other side has said so too, half a minute at most."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(servers.folder / "own.crt", servers.folder / "own.key")
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:

        def answer_once() -> None:
            with context.wrap_socket(listening.accept()[0], server_side=True, suppress_ragged_eofs=True) as one:
                one.recv(64)
                one.send(b"+PONG\r\n")
                over.wait(60)

        answering = thread.submit(answer_once)
        at = HostPort(*listening.getsockname())
        with asyncio.Runner() as runner:
            connector = Connector(RedisAddress.parse(f"redis://{at}"), timeout_seconds=10)
            assert runner.run(connector.speaks(at, tls=True))
        # Complains of what was left open.
        gc.collect()
        over.set()
        answering.result()


async def test_a_certificate_of_ours_that_redis_wants_is_named(servers: Servers, clock: Clock) -> None:
    """E5. Whether Redis's last word is read before the end of the connection is chance, so two looks may differ."""
    url = servers.url("rediss://127.0.0.1:{tls_with_client_certificates}?ssl_ca_certs={folder}/own.crt")
    with capture_logs() as logs:
        async with join(url, clock, heartbeat_seconds=600, timeout_seconds=0.5) as member:
            for _ in range(2):
                await member.heartbeat.beat()
            assert not member.client.up

    said = [(line["event"], line["cause"]) for line in logs]
    assert said
    assert len(said) == len(set(said))
    assert all(event in {"redis_down", "redis_refused"} and " our certificate" in cause for event, cause in said)


@pytest.mark.parametrize(
    "form",
    [
        "rediss://127.0.0.1:{tls}?ssl_ca_certs={folder}/own.crt",
        "rediss://localhost:{tls}?ssl_ca_certs={folder}/own.crt",
        "rediss://127.0.0.1:{tls}?ssl_cert_reqs=none",
        (
            "rediss://127.0.0.1:{tls_with_client_certificates}?ssl_ca_certs={folder}/own.crt"
            "&ssl_certfile={folder}/own.crt&ssl_keyfile={folder}/own.key"
        ),
        "redis://:hunter2@127.0.0.1:{guarded}/3?client_name=shop",
        "redis://localhost:{plain}",
    ],
)
async def test_a_right_address_gets_in(servers: Servers, clock: Clock, form: str) -> None:
    """E5."""
    async with join(servers.url(form), clock, heartbeat_seconds=600, timeout_seconds=1) as member:
        assert member.client.up


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("rediss://cache?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs /nowhere/ca.pem cannot be read: No such file"),
        ("rediss://cache?ssl_ca_certs={folder}/own.key", "cannot be read: "),
        ("rediss://cache?ssl_certfile=/nowhere/a.pem", "the certificate /nowhere/a.pem cannot be read: No such file"),
    ],
)
def test_a_certificate_that_cannot_be_read_stops_the_start(servers: Servers, form: str, says: str) -> None:
    """E4."""
    with pytest.raises(ConfigurationError) as raised:
        RedisClient(servers.url(form))
    [line] = raised.value.problems
    assert line.startswith("REDIS_URL: ")
    assert says in line


@pytest.mark.parametrize(
    ("begin", "end", "cause"),
    [
        (("CONFIG", "SET", "min-replicas-to-write", "3"), ("CONFIG", "SET", "min-replicas-to-write", "0"), "too few"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "this server is a replica"),
    ],
)
async def test_a_redis_that_takes_no_writes_for_a_while_is_down_and_comes_back(
    redis_server: RedisServer, clock: Clock, begin: tuple[str, ...], end: tuple[str, ...], cause: str
) -> None:
    """E1, E5: read-only is no lasting refusal."""
    with capture_logs() as logs:
        async with join(redis_server.url, clock, heartbeat_seconds=600) as member:
            ups = [member.client.up]
            for change in (begin, end):
                await asyncio.to_thread(redis_server.ask, *change)
                await member.heartbeat.beat()
                await member.heartbeat.beat()
                ups.append(member.client.up)
            assert ups == [True, False, True]

    assert [line["event"] for line in logs] == ["redis_up", "redis_down", "redis_up"]
    assert cause in logs[1]["cause"]


async def test_a_disk_that_is_full_is_named_and_looked_at_seldom(clock: Clock, tmp_path: Path) -> None:
    """E1: MISCONF."""
    with RedisServer(options=("--dir", str(tmp_path))) as server:
        (tmp_path / "dump.rdb").mkdir()
        await asyncio.to_thread(server.ask, "CONFIG", "SET", "save", "1 1")
        await asyncio.to_thread(server.ask, "SET", "one", "more")

        async def refuses() -> bool:
            return b"rdb_last_bgsave_status:err" in await asyncio.to_thread(server.ask, "INFO", "persistence")

        await until(refuses)
        with capture_logs() as logs:
            async with join(server.url, clock, heartbeat_seconds=600) as member:
                await member.heartbeat.beat()
                assert not member.client.up
    [line] = logs
    assert line["event"] == "redis_refused"
    assert "Redis cannot save its data and takes no writes" in line["cause"]


def answering(others: bytes, **answers: bytes) -> Serve:
    """A server that answers some commands, and all others alike."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                count = int((await reader.readuntil(b"\r\n"))[1:])
                words = []
                for _ in range(count):
                    length = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                writer.write(answers.get(words[0].decode().upper(), others))

    return talk


UNKNOWN = b"-ERR unknown command\r\n"
INFO = b"# Server\r\nredis_version:5.0.7\r\nredis_mode:standalone"


@pytest.mark.parametrize(
    ("serve", "address", "says"),
    [
        (
            answering(b"+OK\r\n", HELLO=UNKNOWN, INFO=b"$%d\r\n%s\r\n" % (len(INFO), INFO)),
            "redis://127.0.0.1:{port}",
            "Redis 5.0.7 is too old",
        ),
        (answering(b"+OK\r\n", HELLO=UNKNOWN, INFO=UNKNOWN), "redis://127.0.0.1:{port}", "what answers there does not"),
        (answering(b"+OK\r\n"), "redis://127.0.0.1:{port}", "what answers there does not"),
        (answering(b":1\r\n"), "redis+sentinel://127.0.0.1:{port}/shop", "what answers there does not"),
    ],
    ids=["Redis 5 knows no HELLO", "a proxy of its own kind", "a friendly server", "an odd sentinel"],
)
async def test_what_answers_in_another_way_than_redis_is_named_and_stops_nothing(
    clock: Clock, serve: Serve, address: str, says: str
) -> None:
    """E1, E4: the start ended with a traceback."""
    async with serving(serve) as port:
        with capture_logs() as logs:
            async with join(address.format(port=port), clock, heartbeat_seconds=600) as member:
                assert not member.client.up
    assert says in logs[0]["cause"]
