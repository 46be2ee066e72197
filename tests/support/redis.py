"""A real Redis on loopback: one server, a cluster of them, or a master and a replica behind sentinels."""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import permutations
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from service.batch.adapters import redis as batch_sets
from service.fleet import ledger
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from tests.support.ports import free_port
from tests.support.waiting import wait_until

SLOTS = 16_384
SERVICE = "pc-master"


def be_patient_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine answer late: a Redis that is slow is not taken for one that is away. A dead one still is."""
    defaults = RedisClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "timeout_seconds", 10.0)
    monkeypatch.setattr("service.sends.pins.STORE_SECONDS", 10.0)
    monkeypatch.setattr("service.personalize.flights.SETTLING_SECONDS", 10.0)


def let_newcomers_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a replica start at once, although others may know what Redis has lost; to ask them takes two seconds.

    Then the first and the second do not yet have the share that is theirs without Redis.
    """
    defaults = Heartbeat.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patient", False)
    monkeypatch.setattr(ledger, "ASKING_SECONDS", 0.0)


def count_few_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep batch lists in 256 buckets: a switch counts each, which takes half a second for all 65,536."""
    monkeypatch.setattr(batch_sets, "BUCKETS", 256)
    monkeypatch.setattr(batch_sets, "_bucket", lambda key: f"{key[0]:x}")


class RedisServer:
    """A redis-server that keeps nothing on disk, to be killed and started again at will; a context manager.

    Args:
        port: Where it listens; a free port by default.
        options: Further options of its command line, such as `--requirepass`.
        listens: Whether there is a port without TLS.
        binary: The server's program.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        options: tuple[str, ...] = (),
        listens: bool = True,
        binary: str = "redis-server",
    ) -> None:
        self.port = port or free_port()
        self._options = options
        self._listening_option = str(self.port) if listens else "0"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        return f"redis://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Processor time used so far, the kernel's share for it included."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it, empty, and return once it listens.

        Raises:
            RuntimeError: It ended.
            TimeoutError: It does not listen.
        """
        self._clean_up()
        # A copy of another server writes what it gets to disk, where the next one would read it.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [self._binary, "--port", self._listening_option, "--bind", "127.0.0.1", "--dir", self._folder.name]
        command += ["--save", "", "--appendonly", "no", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._listens)

    def kill(self) -> None:
        """End it without a word to its clients; nothing happens when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._clean_up()

    def _clean_up(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def freeze(self) -> None:
        """Let it accept connections and commands, and answer none, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again, also what came meanwhile."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def client(self) -> "redis.Redis":
        """A client to look into it with."""
        return redis.Redis(port=self.port, protocol=2, driver_info=None)

    def ask(self, *command: str | bytes | int) -> Any:  # noqa: ANN401  # Redis's answer
        """Its answer to a command, as it is."""
        return _answer(self.port, *command)

    def _listens(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"redis-server ended with {self._process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
            if self._listening_option == "0":
                return True
            # It listens before it has looked for data on its disk.
            with suppress(OSError):
                probe.sendall(b"PING\r\n")
                answer = probe.recv(64)
                return answer != b"" and not answer.startswith(b"-LOADING")
            return False


class RedisCluster:
    """Masters that share the slots evenly, each with as many replicas; a context manager.

    Args:
        masters: How many.
        replicas: For each master.
        options: For every server's command line.
    """

    def __init__(self, masters: int, *, replicas: int = 0, options: tuple[str, ...] = ()) -> None:
        self._stack = ExitStack()
        self._options = options
        self.masters = [self._server() for _ in range(masters)]
        self.replicas = [self._server() for _ in range(masters * replicas)]

    @property
    def servers(self) -> list[RedisServer]:
        """All of them."""
        return self.masters + self.replicas

    @property
    def url(self) -> str:
        """For `REDIS_URL`, of one node, as a configuration endpoint names one."""
        return self.masters[0].url

    def master_of(self, key: str) -> RedisServer:
        """The server that the key belongs to."""
        slot = self.masters[0].ask("CLUSTER", "KEYSLOT", key)
        [port] = [shard[2][1] for shard in self.masters[0].ask("CLUSTER", "SLOTS") if shard[0] <= slot <= shard[1]]
        [server] = [server for server in self.servers if server.port == port]
        return server

    def __enter__(self) -> Self:
        for server in self.servers:
            self._stack.enter_context(server)
        share = SLOTS / len(self.masters)
        for number, server in enumerate(self.masters):
            server.ask("CLUSTER", "ADDSLOTSRANGE", round(number * share), round((number + 1) * share) - 1)
        for number, server in enumerate(self.servers, start=1):
            # Otherwise they take seconds to agree on who is the elder.
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
        # Each meets each: to hear of each other takes seconds.
        for one, other in permutations(self.servers, 2):
            one.ask("CLUSTER", "MEET", "127.0.0.1", other.port, self._bus_ports[other.port])
        wait_until(lambda: all(self._knows_all(server) for server in self.servers))
        for number, replica in enumerate(self.replicas):
            master = self.masters[number % len(self.masters)]
            replica.ask("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID"))
        wait_until(lambda: all(self._is_ready(server) for server in self.servers))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _server(self) -> RedisServer:
        port, bus_port = free_port(), free_port()
        self._bus_ports = {**getattr(self, "_bus_ports", {}), port: bus_port}
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        options = (
            *("--cluster-enabled", "yes", "--cluster-port", str(bus_port), "--dir", folder),
            *("--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0", *self._options),
        )
        return RedisServer(port, options=options)

    def _knows_all(self, server: RedisServer) -> bool:
        return b"cluster_known_nodes:%d\r" % len(self.servers) in server.ask("CLUSTER", "INFO")

    def _is_ready(self, server: RedisServer) -> bool:
        # Of each shard two numbers, then its servers.
        named = sum(len(shard) - 2 for shard in server.ask("CLUSTER", "SLOTS"))
        return b"cluster_state:ok" in server.ask("CLUSTER", "INFO") and named == len(self.servers)


class RedisSentinels:
    """A master, a replica and three sentinels; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.master = RedisServer(options=("--repl-diskless-sync-delay", "0"))
        self.replica = RedisServer(options=("--replicaof", f"127.0.0.1 {self.master.port}"))
        self.ports = [free_port() for _ in range(3)]

    @property
    def url(self) -> str:
        """For `REDIS_URL`."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{SERVICE}"

    def __enter__(self) -> Self:
        self._stack.enter_context(self.master)
        self._stack.enter_context(self.replica)
        for port in self.ports:
            self._stack.enter_context(_sentinel(port, self.master.port))
        wait_until(lambda: all(self._is_ready(port) for port in self.ports))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def master_port(self) -> int:
        """Of the master, as the first sentinel says."""
        return int(_ask_sentinel(self.ports[0], "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def kill_master(self) -> None:
        """End the first master without a word; the replica takes over."""
        self.master.kill()

    def fail_over(self) -> None:
        """Let the replica take over from a master that runs on."""
        _ask_sentinel(self.ports[0], "FAILOVER", SERVICE)

    def _is_ready(self, port: int) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return False
        about = _ask_sentinel(port, "MASTER", SERVICE)
        known = {about[at].decode(): about[at + 1].decode() for at in range(0, len(about), 2)}
        found = known["num-slaves"], known["num-other-sentinels"], known["flags"]
        return found == ("1", "2", "master")


@contextmanager
def _sentinel(port: int, master_port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n",
            "utf-8",
        )
        process = subprocess.Popen(["redis-server", str(configuration), "--sentinel"], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def _ask_sentinel(port: int, *command: str) -> Any:  # noqa: ANN401  # the sentinel's answer
    return _answer(port, "SENTINEL", *command)


def _answer(port: int, *command: str | bytes | int) -> Any:  # noqa: ANN401  # Redis's answer
    # A whole client costs 6 ms, most of it for the version of the library, which nobody asks for here.
    connection: Any = redis.Connection(port=port, protocol=2, driver_info=None)  # type: ignore[no-untyped-call]  # the library's
    try:
        connection.send_command(*command)
        return connection.read_response()
    finally:
        connection.disconnect()
