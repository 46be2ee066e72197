"""A connection between two replicas, byte by byte: who is let in, and what ends it."""

import asyncio
import hmac
from collections.abc import Sequence

import hiredis
import pytest

from service.errors import SharedStateUnavailable
from service.fleet import link
from service.fleet.link import (
    CHALLENGE_BYTES,
    MAX_STRANGER_BYTES,
    AcceptedLink,
    BegunLink,
    LinkProtocol,
    Message,
    proof,
)

SECRET, OLD_SECRET, OTHER_SECRET = (letter * 32 for letter in (b"s", b"o", b"x"))


class Replica:
    """LinkHolder its name and secrets, and remembers what it hears."""

    def __init__(self, replica: bytes, *secrets: bytes) -> None:
        self.replica = replica
        self.secrets: Sequence[bytes] = secrets
        self.met: list[bytes] = []
        self.messages: list[Message] = []
        self.losses = 0

    def introduced(self, wire: LinkProtocol) -> None:
        assert wire.is_introduced
        self.met.append(wire.other)

    def heard(self, wire: LinkProtocol, message: Message) -> None:
        assert wire.is_introduced
        self.messages.append(message)

    def lost(self, wire: LinkProtocol) -> None:
        assert wire.ended.done()
        self.losses += 1


class End(asyncio.Transport):
    """Keeps what is written, until somebody carries it over."""

    def __init__(self, wire: LinkProtocol) -> None:
        super().__init__()
        self._wire = wire
        self.written = b""
        self.is_over = False
        self.unread = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_over

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._wire.connection_lost(None)


def ends_of(
    accepting: Replica, connecting: Replica, expected: bytes = b"one"
) -> tuple[LinkProtocol, LinkProtocol, End, End]:
    """Both wires and their ends, once all has been said."""
    wires: tuple[LinkProtocol, LinkProtocol] = AcceptedLink(accepting), BegunLink(connecting, expected)
    ends = End(wires[0]), End(wires[1])
    for wire, end in zip(wires, ends, strict=True):
        wire.connection_made(end)
    carry(*wires, *ends)
    return *wires, *ends


def carry(one: LinkProtocol, other: LinkProtocol, end: End, other_end: End) -> None:
    while end.written or other_end.written:
        for source, wire, to in ((end, other, other_end), (other_end, one, end)):
            data, source.written = source.written, b""
            if data and not to.is_over:
                wire.data_received(data)


@pytest.mark.parametrize(
    ("accepts", "connects", "expected", "meet"),
    [
        ((SECRET,), (SECRET,), b"one", True),
        ((SECRET, OLD_SECRET), (OLD_SECRET,), b"one", True),
        ((OLD_SECRET,), (SECRET, OLD_SECRET), b"one", False),
        ((SECRET,), (OTHER_SECRET,), b"one", False),
        ((), (SECRET,), b"one", False),
        ((SECRET,), (), b"one", False),
        # At that address is another replica by now.
        ((SECRET,), (SECRET,), b"another", False),
    ],
)
async def test_only_two_who_know_the_secret_and_the_name_meet(
    accepts: tuple[bytes, ...], connects: tuple[bytes, ...], expected: bytes, *, meet: bool
) -> None:
    accepting, connecting = Replica(b"one", *accepts), Replica(b"two", *connects)
    accepted, begun, end, other_end = ends_of(accepting, connecting, expected)

    assert (begun.is_introduced, connecting.met) == ((True, [b"one"]) if meet else (False, []))
    assert begun.ready.done() is meet
    assert (other_end.is_over or end.is_over) is not meet
    if meet:
        assert accepting.met == [b"two"]
        begun.send(b"1", b"", b"\r\n")
        begun.send(b"2")
        accepted.send(b"1", b"answer")
        carry(accepted, begun, end, other_end)
        assert accepting.messages == [[b"1", b"", b"\r\n"], [b"2"]]
        assert connecting.messages == [[b"1", b"answer"]]
        begun.abort()
        begun.abort()
        assert (connecting.losses, accepting.losses) == (1, 0)
        begun.send(b"3")
        assert other_end.written == b""


CHALLENGE = b"c" * CHALLENGE_BYTES


def packed(*words: bytes) -> bytes:
    found: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its types know one word only
    return found


@pytest.mark.parametrize(
    "said",
    [
        packed(b"link0", b"two", CHALLENGE, b"proof"),
        packed(b"link1", b"two", CHALLENGE),
        packed(b"link1", b"two", CHALLENGE, b"proof", b"more"),
        packed(b"link1", b"two", CHALLENGE, b""),
        b":1\r\n",
        b"*0\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n*1\r\n$1\r\na\r\n",
        b"\r\n",
        b"*\r\n",
        b"*4\r\n$99999",
        b"GET / HTTP/1.1\r\n",
        b"x" * (MAX_STRANGER_BYTES + 1),
    ],
)
async def test_a_stranger_who_says_anything_else_is_left(said: bytes) -> None:
    replica = Replica(b"one", SECRET)
    wire = AcceptedLink(replica)
    end = End(wire)
    wire.connection_made(end)
    wire.data_received(said)
    assert (end.is_over, wire.is_introduced, replica.losses, replica.messages) == (True, False, 1, [])


@pytest.mark.parametrize(
    ("said", "is_left"),
    [
        (packed(b"link1", CHALLENGE), False),
        (packed(b"link0", CHALLENGE), True),
        (packed(b"link1", CHALLENGE[1:]), True),
        (packed(b"link1", CHALLENGE, b"more"), True),
        (packed(b"link1"), True),
    ],
)
async def test_a_challenge_has_its_form(said: bytes, *, is_left: bool) -> None:
    wire = BegunLink(Replica(b"two", SECRET), b"one")
    end = End(wire)
    wire.connection_made(end)
    assert end.written == b""
    wire.data_received(said)
    assert end.is_over is is_left
    if not is_left:
        reader = hiredis.Reader()
        reader.feed(end.written)
        hello, name, mine, proved = reader.gets()
        assert (hello, name, len(mine)) == (b"link1", b"two", CHALLENGE_BYTES)
        assert proved == proof(SECRET, b"connects", CHALLENGE, mine, b"two")


async def test_a_message_may_come_in_pieces_and_be_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MAX_MESSAGE_BYTES", 2_000)
    accepting, connecting = Replica(b"one", SECRET), Replica(b"two", SECRET)
    accepted, begun, end, other_end = ends_of(accepting, connecting)
    # Many short ones, and one that is as long as may be.
    long = b"l" * 1_500
    for word in (b"a" * 900, b"b" * 900, b"c" * 900, long):
        begun.send(b"1", word)
        data, other_end.written = other_end.written, b""
        for at in range(0, len(data), 700):
            accepted.data_received(data[at : at + 700])
    assert [message[1][:1] for message in accepting.messages] == [b"a", b"b", b"c", b"l"]
    over = [end.is_over]
    accepted.data_received(b"*1\r\n$3000\r\n" + b"x" * 2_000)
    assert [*over, end.is_over] == [False, True]

    # Who reads nothing is given up, and hears so.
    other_end.unread = 2_000
    begun.send(b"1")
    other_end.unread = 2_001
    with pytest.raises(SharedStateUnavailable, match="does not read"):
        begun.send(b"1")
    assert other_end.is_over


def greeted(challenge: bytes) -> bytes:
    """What one who knows the secret says to this challenge."""
    return packed(b"link1", b"two", CHALLENGE, proof(SECRET, b"connects", challenge, CHALLENGE, b"two"))


def accepted_by(replica: Replica) -> tuple[LinkProtocol, End, bytes]:
    """A connection, its end, and the challenge on it."""
    wire = AcceptedLink(replica)
    end = End(wire)
    wire.connection_made(end)
    challenge, end.written = end.written[-CHALLENGE_BYTES - 2 : -2], b""
    return wire, end, challenge


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_question_may_come_with_the_greeting_and_both_in_pieces(size: int) -> None:
    replica = Replica(b"one", SECRET)
    wire, end, challenge = accepted_by(replica)
    said = greeted(challenge) + packed(b"1", b"", b"question") + packed(b"2")
    for at in range(0, len(said), size):
        wire.data_received(said[at : at + size])
    assert (end.is_over, replica.messages) == (False, [[b"1", b"", b"question"], [b"2"]])


@pytest.mark.parametrize(("right", "wrong"), [(b"$5\r\n", b"$+5\r\n"), (b"link1", b"link0")])
async def test_who_knows_the_secret_and_speaks_another_way_is_left(right: bytes, wrong: bytes) -> None:
    replica = Replica(b"one", SECRET)
    wire, end, challenge = accepted_by(replica)
    wire.data_received(greeted(challenge).replace(right, wrong, 1))
    assert (end.is_over, wire.is_introduced) == (True, False)


@pytest.mark.parametrize(
    "said", [b":1\r\n", b":0\r\n", b"*0\r\n", b"*1\r\n:1\r\n", b"*1\r\n*0\r\n", b"-no\r\n", b"?\r\n"]
)
async def test_who_was_introduced_and_says_anything_but_bytes_is_left(said: bytes) -> None:
    replica = Replica(b"one", SECRET)
    wire, end, challenge = accepted_by(replica)
    wire.data_received(greeted(challenge))
    wire.data_received(said)
    assert (end.is_over, replica.messages) == (True, [])


async def test_a_stranger_may_say_so_much_and_no_more() -> None:
    so_much = b"*4\r\n$5\r\nlink1\r\n$990\r\n" + b"x" * 990 + b"\r\n$99\r\n" + b"y" * 6
    assert len(so_much) == MAX_STRANGER_BYTES
    for said, more in ((so_much, b"y"), (b"*4\r\n$9999", b"9")):
        wire, end, _ = accepted_by(Replica(b"one", SECRET))
        wire.data_received(said)
        over = end.is_over
        wire.data_received(more)
        assert (over, end.is_over) == (False, True)


async def test_a_wire_that_was_never_connected_says_nothing() -> None:
    wire = BegunLink(Replica(b"two", SECRET), b"one")
    wire.send(b"1")
    wire.abort()
    assert not wire.ended.done()
    # Nor is it, once it is given up.
    end = End(wire)
    wire.connection_made(end)
    assert (end.is_over, end.written) == (True, b"")


async def test_nobody_need_wait_for_the_end() -> None:
    replica = Replica(b"one", SECRET)
    wire, end, _ = accepted_by(replica)
    wire.ended.cancel()
    end.abort()
    assert replica.losses == 1


def test_a_proof_depends_on_every_part_and_on_where_it_ends() -> None:
    found = {proof(SECRET, *parts) for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"ab", b"c", b""))}
    assert len(found) == 4
    assert proof(SECRET, b"ab", b"c") != proof(OLD_SECRET, b"ab", b"c")
    # Another version of the service makes the same.
    wanted = hmac.digest(SECRET, b"\x00\x00\x00\x02ab\x00\x00\x00\x01c", "sha256")
    assert proof(SECRET, b"ab", b"c") == wanted
