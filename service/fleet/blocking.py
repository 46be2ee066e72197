"""A way to Redis for commands, which may wait: the library's blocking client of the one server that holds a key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from service.fleet.address import HostPort, Login, RedisAddress
from service.fleet.causes import FAILURES, Refusal, cause_of
from service.fleet.route import greeting_of

CONNECTING_SECONDS: Final = 5.0

TIMEOUT_SECONDS: Final = 30.0
"""For one command: a thousand lists on a slow link."""


class BlockingWay:
    """Finds the server for a key.

    Args:
        address: Of `REDIS_URL`.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    def server_of(self, key: str) -> "redis.Redis":
        """A client of the server that holds the key.

        Raises:
            Refusal: Redis answers, but the service cannot work with it.
            RedisError, OSError: It does not answer.
        """
        if self._address.kind == "socket":
            client = redis.Redis(unix_socket_path=self._address.path, **self._terms(self._address.login))
            self._greeted(client)
            return client
        at = self._master() if self._address.kind == "sentinel" else self._first_that_answers()
        client = self._client(at, self._address.login, db=self._address.db)
        if self._greeted(client) != "cluster":
            return client
        client.close()
        return self._client(self._node_of(key, at), self._address.login)

    def _first_that_answers(self) -> HostPort:
        error: Exception | None = None
        for at in self._address.hosts:
            try:
                with _closing(self._client(at, self._address.login)) as client:
                    self._greeted(client)
            except (Refusal, *FAILURES) as failure:
                error = error or failure
            else:
                return at
        raise error or Refusal("cluster", "no node is named")

    def _master(self) -> HostPort:
        error: Exception | None = None
        for at in self._address.hosts:
            try:
                with _closing(self._client(at, self._address.sentinel_login)) as client:
                    found: Any = client.execute_command(  # type: ignore[no-untyped-call]  # the library's
                        "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service
                    )
            except FAILURES as failure:
                error = error or failure
                continue
            if found is not None:
                host, port = found
                return HostPort(host.decode(), int(port))
        raise error or Refusal("master", f"the sentinels know no master named {self._address.service}")

    def _node_of(self, key: str, at: HostPort) -> HostPort:
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(*at)],  # type: ignore[no-untyped-call]  # the library's
            require_full_coverage=False,
            **self._terms(self._address.login),
        )
        try:
            node = cluster.get_node_from_key(key)  # type: ignore[no-untyped-call]  # the library's
            return HostPort(str(node.host), int(node.port))
        finally:
            cluster.close()

    @staticmethod
    def _greeted(client: "redis.Redis") -> str:
        answer: Any = client.execute_command("HELLO")  # type: ignore[no-untyped-call]  # the library's
        return greeting_of(answer).mode

    def _client(self, at: HostPort, login: Login, *, db: int = 0) -> "redis.Redis":
        return redis.Redis(host=at.host, port=at.port, db=db, **self._terms(login))

    def _terms(self, login: Login) -> dict[str, Any]:
        terms: dict[str, Any] = {
            "username": login.username,
            "password": login.password,
            "client_name": self._address.client_name,
            "socket_timeout": TIMEOUT_SECONDS,
            "socket_connect_timeout": CONNECTING_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        tls = self._address.tls
        if tls is not None:
            terms |= {
                "ssl": True,
                "ssl_ca_certs": tls.ca_certs,
                "ssl_certfile": tls.certfile,
                "ssl_keyfile": tls.keyfile,
                "ssl_cert_reqs": tls.cert_reqs,
                "ssl_check_hostname": tls.check_hostname,
            }
        return terms


def words_of(error: BaseException, address: RedisAddress) -> str:
    """Why Redis failed, with its host, for the operator."""
    return f"{address.shown}: {cause_of(error, tls=address.tls is not None).words}"


@contextmanager
def _closing(client: "redis.Redis") -> Iterator["redis.Redis"]:
    try:
        yield client
    finally:
        client.close()
