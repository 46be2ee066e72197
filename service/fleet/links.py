"""Links: connections from each replica to each other, by which they agree while Redis is away.

Redis says where the others listen, and what they all know as a secret. A link is there before it is needed, so that
none is made within a request. Without one, or where a network lets none through, a replica decides for itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import Final, Self

import structlog

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.client import RedisClient
from service.fleet.heartbeat import Heartbeat
from service.fleet.link import AcceptedLink, BegunLink, LinkProtocol, Message
from service.fleet.link_addresses import LinkAddresses
from service.fleet.own_address import own_address
from service.tasks import stop_task

LOOK_SECONDS: Final = 0.25
"""Between two looks whether replicas have come or gone, and whether a link is missing."""

RENEW_SECONDS: Final = 10.0
"""Between two times at which a replica says in Redis where it listens."""

AGAIN_SECONDS: Final = 1.0
"""The same while another replica has not yet said where it listens."""

CONNECT_SECONDS: Final = 2.0
"""For one attempt to connect, introductions included."""

MAX_PAUSE_SECONDS: Final = 5.0
"""Between two attempts to reach the same replica: twice as long each time, up to this."""

UNREACHABLE_SECONDS: Final = 15.0
"""A replica that lives and cannot be reached for so long is named in the log."""

MAX_ACCEPTED: Final = 2_000
"""Connections that are accepted at a time."""

Answering = Callable[[bytes, Message], Awaitable[Message]]
"""Answers a question of the replica of this name."""

_REMEDY: Final = "open REPLICA_LINKS_PORT between the replicas, or set REPLICA_LINKS=off"

_NO_ANSWER: Final = b"0"

_PRIME: Final = 2**127 - 1
"""Larger than any key; keys are spread over replicas by their remainders."""

_log = structlog.stdlib.get_logger(__name__)


class Links:
    """The links of one replica; a context manager, and it works within.

    Args:
        client: Open for as long as this is.
        heartbeat: The same; knows which replicas there are.
        clock: Its monotonic time carries the pauses.
        port: To listen at; 0 for any that is free.
        timeout_seconds: For one answer.
    """

    def __init__(
        self, client: RedisClient, heartbeat: Heartbeat, *, clock: Clock, port: int = 0, timeout_seconds: float
    ) -> None:
        self._client = client
        self._heartbeat = heartbeat
        self._clock = clock
        self._port = port
        self.timeout_seconds = timeout_seconds
        self.replica = heartbeat.replica.encode()
        self._addresses = LinkAddresses(client, heartbeat)
        self._linked: dict[bytes, LinkProtocol] = {}
        self._weights = [_weight(self.replica)]
        self._accepted: set[LinkProtocol] = set()
        self._closing = False
        self._connecting: dict[bytes, asyncio.Task[None]] = {}
        self._asked: dict[int, tuple[LinkProtocol, asyncio.Future[Message]]] = {}
        self._last_number = 0
        self._answers: set[asyncio.Task[None]] = set()
        self._answering: Answering | None = None
        self._on_lost: Callable[[], None] = lambda: None
        self._server: asyncio.Server | None = None
        self._at: tuple[str, int] | None = None
        self._task: asyncio.Task[None] | None = None

    def answer_with(self, answering: Answering, *, on_lost: Callable[[], None]) -> None:
        """Answer the others' questions by this, and call that when a link is lost; before the links are opened."""
        self._answering, self._on_lost = answering, on_lost

    async def __aenter__(self) -> Self:
        """Begin to listen and to connect; in the background, and fine without Redis."""
        self._task = asyncio.create_task(self._keep_linked(), name="replica-links")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all links; before the heartbeat and the client are closed."""
        self._closing = True
        if self._task is not None:
            await stop_task(self._task)
        for task in [*self._connecting.values()]:
            await stop_task(task)
        if self._server is not None:
            self._server.close()
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
        links = [*self._linked.values(), *self._accepted]
        for link in links:
            link.abort()
        await asyncio.gather(*(link.ended for link in links))
        await self._addresses.sign_off()

    @property
    def secrets(self) -> Sequence[bytes]:
        """See `link.LinkHolder`."""
        return self._addresses.secrets

    @property
    def linked(self) -> tuple[bytes, ...]:
        """The other replicas that can be asked now."""
        return tuple(self._linked)

    def owner_of(self, key: bytes) -> bytes:
        """The replica that decides about a key: the same for all replicas that have the same links."""
        number = int.from_bytes(key, "big")
        return max(self._weights, key=lambda one: (number * one[0] + one[1]) % _PRIME)[2]

    async def ask(self, replica: bytes, *words: bytes) -> Message:
        """The answer of another replica.

        Raises:
            SharedStateUnavailable: There is no link to it, or no answer came in time. Then the link is given up.
        """
        link = self._linked.get(replica)
        if link is None:
            raise SharedStateUnavailable("no link to this replica")
        self._last_number += 1
        number = self._last_number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = link, answer
        try:
            link.send(b"%d" % number, *words)
            async with asyncio.timeout(self.timeout_seconds):
                return await answer
        except TimeoutError as error:
            link.abort()
            raise SharedStateUnavailable("a replica did not answer in time") from error
        finally:
            del self._asked[number]

    def tell(self, replica: bytes, *words: bytes) -> None:
        """Let another replica know something; lost if there is no link to it."""
        link = self._linked.get(replica)
        if link is not None:
            with suppress(SharedStateUnavailable):
                link.send(_NO_ANSWER, *words)

    def introduced(self, link: LinkProtocol) -> None:
        """See `link.LinkHolder`."""
        if link.is_begun:
            self._linked[link.other] = link
            self._weigh()

    def heard(self, link: LinkProtocol, message: Message) -> None:
        """See `link.LinkHolder`."""
        number, words = message[0], message[1:]
        if link.is_begun:
            _, answer = self._asked.get(int(number) if number.isdigit() else 0, (None, None))
            if answer is not None and not answer.done():
                answer.set_result(words)
            return
        task = asyncio.create_task(self._answer(link, number, words))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def lost(self, link: LinkProtocol) -> None:
        """See `link.LinkHolder`."""
        self._accepted.discard(link)
        if link.is_begun and self._linked.get(link.other) is link:
            del self._linked[link.other]
            self._weigh()
            for of, answer in self._asked.values():
                if of is link and not answer.done():
                    answer.set_exception(SharedStateUnavailable("a replica has gone"))
            self._on_lost()

    def _weigh(self) -> None:
        self._weights = [_weight(one) for one in (self.replica, *self._linked)]

    async def _answer(self, link: LinkProtocol, number: bytes, words: Message) -> None:
        if self._answering is None:
            return
        answer = await self._answering(link.other, words)
        if number != _NO_ANSWER:
            with suppress(SharedStateUnavailable):
                link.send(number, *answer)

    async def _keep_linked(self) -> None:
        seen, renew_at, named = b"", float("-inf"), False
        while True:
            now = self._clock.monotonic()
            if self._client.up and (now >= renew_at or seen != self._heartbeat.version):
                seen, renew_at = self._heartbeat.version, now + AGAIN_SECONDS
                try:
                    if self._at is None:
                        self._at = await self._listen()
                    if await self._addresses.renew(*self._at):
                        renew_at = now + RENEW_SECONDS
                except SharedStateUnavailable:
                    pass
                except OSError as error:
                    if not named:
                        named = True
                        _log.warning(
                            "replica_links_closed",
                            port=self._port,
                            problem=error.strerror or str(error),
                            remedy="name a free port in REPLICA_LINKS_PORT",
                        )
            for replica in self._addresses.others.keys() - self._linked.keys() - self._connecting.keys():
                task = asyncio.create_task(self._connect(replica), name="replica-link")
                self._connecting[replica] = task
                task.add_done_callback(partial(self._connected, replica))
            await asyncio.sleep(LOOK_SECONDS)

    async def _listen(self) -> tuple[str, int]:
        host = await own_address(self._client)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, self._port, start_serving=False)
        # Only now: a server that serves before it is kept would stay open when this is cancelled.
        await self._server.start_serving()
        port: int = self._server.sockets[0].getsockname()[1]
        _log.info("replica_links_open", at=f"{host}:{port}")
        return host, port

    def _accept(self) -> asyncio.Protocol:
        if self._closing or len(self._accepted) >= MAX_ACCEPTED:
            return _Refused()
        link = AcceptedLink(self)
        self._accepted.add(link)
        asyncio.get_running_loop().call_later(CONNECT_SECONDS, _end_stranger, link)
        return link

    async def _connect(self, replica: bytes) -> None:
        """Try until there is a link, or the replica is gone."""
        began, pause, named = self._clock.monotonic(), LOOK_SECONDS, False
        while replica in self._addresses.others:
            host, port = self._addresses.others[replica]
            link: BegunLink | None = None
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, link = await asyncio.get_running_loop().create_connection(
                        lambda: BegunLink(self, replica), host, port
                    )
                    # Over when it is lost; introductions take two ways.
                    await asyncio.wait((link.ready, link.ended), return_when=asyncio.FIRST_COMPLETED)
            except (OSError, TimeoutError):
                pass
            finally:
                if link is not None and not link.is_introduced:
                    link.abort()
            if link is not None and link.is_introduced:
                return
            if not named and self._clock.monotonic() - began >= UNREACHABLE_SECONDS and self._client.up:
                named = True
                _log.warning("replica_unreachable", at=f"{host}:{port}", remedy=_REMEDY)
            await asyncio.sleep(pause)
            pause = min(MAX_PAUSE_SECONDS, 2 * pause)

    def _connected(self, replica: bytes, task: "asyncio.Task[None]") -> None:
        del self._connecting[replica]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("replica_link_failed", exc_info=error)


def _weight(replica: bytes) -> tuple[int, int, bytes]:
    """The numbers by which keys are spread, and the replica's name."""
    digest = blake2b(replica, digest_size=32).digest()
    return int.from_bytes(digest[:16], "big") % _PRIME, int.from_bytes(digest[16:], "big") % _PRIME, replica


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _end_stranger(link: LinkProtocol) -> None:
    if not link.is_introduced:
        link.abort()
