"""A connection between two replicas: who may hold one, and what a message on it is.

Both sides prove to each other that they know a secret, which replicas find in Redis. The secret itself is never sent::

    one that accepts                        one that connects
        challenge  ───────────────────────────►
                   ◄───────────────────────────  name, challenge, proof
        proof      ───────────────────────────►
                   ◄───────────────────────────  questions
        answers    ───────────────────────────►

Messages are lists of bytes in Redis's own format. They are not encrypted: keys of users are keyed hashes, and what
else they hold are ids of items.
"""

import asyncio
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Protocol, cast

import hiredis

from service.errors import SharedStateUnavailable

CHALLENGE_BYTES: Final = 16
"""Of each side's challenge."""

MAX_STRANGER_BYTES: Final = 1024
"""Of somebody who has proved nothing yet."""

_MAX_LINE_BYTES: Final = 5
"""Of a line that says how much follows, in a stranger's message."""

MAX_MESSAGE_BYTES: Final = 16 * 2**20
"""A message that is longer ends its connection."""

Message = list[bytes]

_HELLO: Final = b"link1"
"""What a first message begins with; another version of the service may write another one."""


def proof(secret: bytes, *parts: bytes) -> bytes:
    """What only somebody with the secret can make of these."""
    return hmac.digest(secret, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")


class LinkHolder(Protocol):
    """What both ends of a connection need of their replica."""

    @property
    def replica(self) -> bytes:
        """The name of this replica."""

    @property
    def secrets(self) -> Sequence[bytes]:
        """The secret in use, and the one before it; none while Redis has not been seen."""

    def introduced(self, link: "LinkProtocol") -> None:
        """Both sides have proved what they had to."""

    def heard(self, link: "LinkProtocol", message: Message) -> None:
        """A message of somebody who was introduced."""

    def lost(self, link: "LinkProtocol") -> None:
        """The connection has ended, introduced or not."""


class LinkProtocol(asyncio.Protocol, ABC):
    """One connection; the subclasses differ in how it begins.

    Args:
        holder: The replica whose end this is.
    """

    is_begun: ClassVar[bool]
    """Whether this replica has begun it, so that it asks on it; otherwise it answers."""

    def __init__(self, holder: LinkHolder) -> None:
        self._holder = holder
        self._reader = hiredis.Reader()
        self._unread_bytes = 0
        self._greeting = bytearray()
        self._aborted = False
        self._transport: asyncio.Transport | None = None
        self._challenge = secrets.token_bytes(CHALLENGE_BYTES)
        self.other = b""
        """The name of the replica at the other end, once it is introduced."""
        self.is_introduced = False
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when both sides are introduced."""
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when the connection has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        if self._aborted:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        if not self.ended.done():
            self.ended.set_result(None)
        self._holder.lost(self)

    def data_received(self, data: bytes) -> None:
        """Read what is complete; a stranger, and somebody who writes nonsense, is left."""
        self._unread_bytes += len(data)
        if self._unread_bytes > (MAX_MESSAGE_BYTES if self.is_introduced else MAX_STRANGER_BYTES):
            self.abort()
            return
        try:
            if not self.is_introduced:
                data = self._greeted(data)
            self._reader.feed(data)
            while (found := self._reader.gets()) is not False:
                self._unread_bytes = len(data)
                if not isinstance(found, list) or not found or not all(type(one) is bytes for one in found):
                    self.abort()
                    return
                self._holder.heard(self, found)
        except (hiredis.ProtocolError, ValueError):
            self.abort()

    def send(self, *words: bytes) -> None:
        """Write one message; nothing happens on a connection that has ended.

        Raises:
            SharedStateUnavailable: So much is unread that the other side must have stopped.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_MESSAGE_BYTES:
            self.abort()
            raise SharedStateUnavailable("a replica does not read what it is sent")
        transport.write(hiredis.pack_command(words))  # type: ignore[arg-type]  # its types know one word only

    def abort(self) -> None:
        """End it, whatever is under way; also one that is about to be made."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    def _greeted(self, data: bytes) -> bytes:
        """What is left once the other side is introduced; empty until then.

        Raises:
            ValueError: The greeting is not good.
        """
        self._greeting += data
        while not self.is_introduced and (message := _take_message(self._greeting)) is not None:
            if not self._meet(message):
                raise ValueError("somebody who does not know the secret")
        return bytes(self._greeting) if self.is_introduced else b""

    @abstractmethod
    def _meet(self, message: Message) -> bool:
        """Whether the first messages of the other side are good."""

    def _introduce(self, other: bytes) -> None:
        self.other = other
        self.is_introduced = True
        self.ready.set_result(None)
        self._holder.introduced(self)


class AcceptedLink(LinkProtocol):
    """One that another replica has begun."""

    is_begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the challenge."""
        super().connection_made(transport)
        self.send(_HELLO, self._challenge)

    def _meet(self, message: Message) -> bool:
        if len(message) != 4 or message[0] != _HELLO:  # noqa: PLR2004  # hello, name, challenge, proof
            return False
        _, other, challenge, proved = message
        for secret in self._holder.secrets:
            if hmac.compare_digest(proof(secret, b"connects", self._challenge, challenge, other), proved):
                self.send(_HELLO, proof(secret, b"accepts", challenge, self._challenge, self._holder.replica))
                self._introduce(other)
                return True
        return False


class BegunLink(LinkProtocol):
    """One that this replica has begun, to another whose name it knows.

    Args:
        holder: The replica whose end this is.
        expected: The other's name.
    """

    is_begun = True

    def __init__(self, holder: LinkHolder, expected: bytes) -> None:
        super().__init__(holder)
        self._expected = expected
        self._their_challenge = b""
        self._secret = b""

    def _meet(self, message: Message) -> bool:
        if len(message) != 2 or message[0] != _HELLO or not self._holder.secrets:  # noqa: PLR2004  # hello, and one more
            return False
        if not self._their_challenge:
            self._secret = self._holder.secrets[0]
            self._their_challenge = message[1]
            me = self._holder.replica
            self.send(_HELLO, me, self._challenge, proof(self._secret, b"connects", message[1], self._challenge, me))
            return len(message[1]) == CHALLENGE_BYTES
        wanted = proof(self._secret, b"accepts", self._challenge, self._their_challenge, self._expected)
        if not hmac.compare_digest(wanted, message[1]):
            return False
        self._introduce(self._expected)
        return True


def _take_message(unread: bytearray) -> Message | None:
    """The first message, taken off; None until it is complete.

    A stranger does not reach the real parser, which makes room for as many items as a first line promises.

    Raises:
        ValueError: It is no short list of short strings.
    """
    message: Message = []
    wanted, at = None, 0
    while wanted is None or len(message) < wanted:
        line, ended, _ = bytes(unread[at:]).partition(b"\r\n")
        mark, digits = line[:1], line[1:]
        if len(line) > _MAX_LINE_BYTES or (line and mark != (b"*" if wanted is None else b"$")):
            raise ValueError("a stranger's message is a short list of short strings")
        if not ended:
            return None
        if not digits.isdigit():
            raise ValueError("no length")
        number = int(digits)
        at += len(line) + 2
        if wanted is None:
            wanted = number
            continue
        if len(unread) < at + number + 2:
            return None
        message.append(bytes(unread[at : at + number]))
        at += number + 2
    del unread[:at]
    return message
