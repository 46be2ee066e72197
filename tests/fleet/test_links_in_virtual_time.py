"""Links to the moment: when a replica says where it listens, connects, waits and gives up; a model of a network."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from service.errors import SharedStateUnavailable
from service.fleet import links as links_module
from service.fleet.link import MAX_MESSAGE_BYTES, Message
from service.fleet.links import (
    AGAIN_SECONDS,
    CONNECT_SECONDS,
    LOOK_SECONDS,
    MAX_PAUSE_SECONDS,
    RENEW_SECONDS,
    UNREACHABLE_SECONDS,
    Links,
)
from tests.support.garbage import collected_at_the_end
from tests.support.virtual_time import VirtualClock, run_virtual

SECRET = b"s" * 32
A_SHORT_WHILE = 0.1
At = tuple[str, int]


class End(asyncio.Transport):
    """One end of a connection; what is written arrives in the next turn of the loop."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.other: End | None = None
        self.is_over = False
        self.written: list[bytes] = []
        self.unread = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        if self.other is not None:
            asyncio.get_running_loop().call_soon(self.other.receive, bytes(data))

    def receive(self, data: bytes) -> None:
        if not self.is_over:
            self.protocol.data_received(data)

    def is_closing(self) -> bool:
        return self.is_over

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        if not self.is_over:
            self.is_over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
            if self.other is not None:
                asyncio.get_running_loop().call_soon(self.other.abort)

    def close(self) -> None:
        self.abort()


class Server:
    def __init__(self, network: "Network", at: At) -> None:
        self._network, self.at = network, at
        self.sockets = [SimpleNamespace(getsockname=lambda: at)]

    async def start_serving(self) -> None:
        self._network.serving.add(self.at)

    def close(self) -> None:
        self._network.serving.discard(self.at)
        self._network.listening.pop(self.at, None)


class Network:
    """Takes the place of what the loop does with sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._began = loop, loop.time()
        self.listening: dict[At, Callable[[], asyncio.Protocol]] = {}
        self.serving: set[At] = set()
        self.silent: set[At] = set()
        self.broken: set[At] = set()
        self.attempts: list[tuple[float, At]] = []
        self.ports_taken = False
        self.ends: list[End] = []
        vars(loop).update(create_server=self.create_server, create_connection=self.create_connection)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._began

    async def create_server(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int, *, start_serving: bool
    ) -> Server:
        self.attempts.append((self.now, (host, port)))
        if self.ports_taken:
            raise OSError(98, "Address already in use")
        assert not start_serving
        at = host, port or 40_000 + len(self.listening)
        self.listening[at] = factory
        return Server(self, at)

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[End, asyncio.Protocol]:
        self.attempts.append((self.now, (host, port)))
        if (host, port) in self.broken:
            raise RuntimeError
        if (host, port) in self.silent:
            await self._loop.create_future()
        if (host, port) not in self.serving:
            raise ConnectionRefusedError
        end, other = End(factory()), End(self.listening[host, port]())
        end.other, other.other = other, end
        self.ends += end, other
        for one in (end, other):
            self._loop.call_soon(one.protocol.connection_made, one)
        return end, end.protocol


class Addresses:
    """What Redis says of where the others listen is up to the test."""

    def __init__(self) -> None:
        self.secrets = (SECRET,)
        self.others: dict[bytes, At] = {}
        self.renewed: list[float] = []
        self.mine: At | None = None
        self.all_have_said = True
        self.fails = False
        self.signed_off = 0
        self.now: Callable[[], float]

    async def renew(self, host: str, port: int) -> bool:
        self.mine = host, port
        self.renewed.append(self.now())
        if self.fails:
            raise SharedStateUnavailable("down")
        return self.all_have_said

    async def sign_off(self) -> None:
        self.signed_off += 1


class Replica:
    def __init__(self, world: "World", name: str, port: int) -> None:
        self.client = SimpleNamespace(up=True)
        self.heartbeat = SimpleNamespace(replica=name, version=b"1")
        self.links = Links(
            cast("Any", self.client), cast("Any", self.heartbeat), clock=world.clock, port=port, timeout_seconds=0.5
        )
        self.addresses = cast("Addresses", self.links._addresses)
        self.addresses.now = lambda: world.network.now
        self.lost = 0
        self.heard: list[tuple[bytes, Message]] = []
        self.never = False
        self.links.answer_with(self._answer, on_lost=self._on_lost)

    @property
    def name(self) -> bytes:
        return self.links.replica

    async def _answer(self, who: bytes, words: Message) -> Message:
        self.heard.append((who, words))
        if self.never:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                # An end takes a while.
                await asyncio.sleep(0.01)
        return [who, *words]

    def _on_lost(self) -> None:
        self.lost += 1


class World:
    def __init__(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        self.clock = VirtualClock(loop)
        self.network = Network(loop)
        self._stack = stack

    async def replica(self, name: str, *, port: int = 0, up: bool = True) -> Replica:
        found = Replica(self, name, port)
        found.client.up = up
        await self._stack.enter_async_context(found.links)
        await asyncio.sleep(A_SHORT_WHILE)
        return found

    async def pair(self) -> tuple[Replica, Replica]:
        """Two that are linked."""
        one, two = await self.replica("one"), await self.replica("two")
        assert one.addresses.mine is not None
        assert two.addresses.mine is not None
        one.addresses.others = {two.name: two.addresses.mine}
        two.addresses.others = {one.name: one.addresses.mine}
        await asyncio.sleep(LOOK_SECONDS)
        assert (one.links.linked, two.links.linked) == ((two.name,), (one.name,))
        return one, two


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    async def own_address(client: object) -> str:
        del client
        return "10.0.0.1"

    monkeypatch.setattr(links_module, "own_address", own_address)
    monkeypatch.setattr(links_module, "LinkAddresses", lambda *_: Addresses())


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    complaints: list[object] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with collected_at_the_end():
            async with AsyncExitStack() as stack:
                await scenario(World(stack))

    run_virtual(run())
    assert complaints == []


def test_a_replica_says_where_it_listens_every_second_until_all_have_and_then_seldom() -> None:
    async def scenario(world: World) -> None:
        one = await world.replica("one", port=7001)
        one.addresses.all_have_said = True
        assert one.addresses.renewed == [0.0]
        assert one.addresses.mine == ("10.0.0.1", 7001)
        await asyncio.sleep(RENEW_SECONDS)
        assert one.addresses.renewed == [0.0, RENEW_SECONDS]
        # Somebody has come, and has not said it yet.
        one.heartbeat.version = b"2"
        one.addresses.all_have_said = False
        await asyncio.sleep(3 * AGAIN_SECONDS)
        began = RENEW_SECONDS + LOOK_SECONDS
        assert one.addresses.renewed[2:] == [began, began + 1.0, began + 2.0]
        # Redis fails once, and is away for a while.
        one.addresses.fails = True
        await asyncio.sleep(AGAIN_SECONDS)
        one.addresses.fails, one.addresses.all_have_said = False, True
        await asyncio.sleep(AGAIN_SECONDS)
        assert one.addresses.renewed[5:] == [began + 3.0, began + 4.0]
        one.client.up = False
        one.heartbeat.version = b"3"
        await asyncio.sleep(5 * RENEW_SECONDS)
        assert len(one.addresses.renewed) == 7
        one.client.up = True
        await asyncio.sleep(LOOK_SECONDS)
        assert len(one.addresses.renewed) == 8
        # It listens once.
        assert [at for _, at in world.network.attempts] == [("10.0.0.1", 7001)]

    play(scenario)


def test_a_port_that_is_taken_is_tried_again_and_named_once() -> None:
    async def scenario(world: World) -> None:
        world.network.ports_taken = True
        with capture_logs() as logs:
            one = await world.replica("one", port=7001)
            await asyncio.sleep(2 * AGAIN_SECONDS)
            assert one.addresses.renewed == []
            world.network.ports_taken = False
            await asyncio.sleep(AGAIN_SECONDS)
        assert [at for at, _ in world.network.attempts] == [0.0, 1.0, 2.0, 3.0]
        assert one.addresses.renewed == [3.0]
        assert [(log["event"], log.get("problem")) for log in logs] == [
            ("replica_links_closed", "Address already in use"),
            ("replica_links_open", None),
        ]

    play(scenario)


def test_a_replica_that_cannot_be_reached_is_tried_ever_more_seldom_and_named_once() -> None:
    async def scenario(world: World) -> None:
        one = await world.replica("one")
        world.network.attempts.clear()
        with capture_logs() as logs:
            one.addresses.others = {b"two": ("10.0.0.2", 7002)}
            await asyncio.sleep(60.0)
        began = LOOK_SECONDS
        pauses = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, *[MAX_PAUSE_SECONDS] * 10]
        assert [at for at, _ in world.network.attempts] == [began + sum(pauses[: n + 1]) for n in range(16)]
        assert [(log["event"], log["at"]) for log in logs] == [("replica_unreachable", "10.0.0.2:7002")]
        # It has gone.
        one.addresses.others = {}
        await asyncio.sleep(60.0)
        assert len(world.network.attempts) == 16

    play(scenario)


@pytest.mark.parametrize(
    ("up", "seconds", "after", "is_named"),
    [
        (True, 17.9, UNREACHABLE_SECONDS, True),
        (True, 17.6, UNREACHABLE_SECONDS, False),
        (True, 12.9, 12.75, True),
        (False, 60.0, UNREACHABLE_SECONDS, False),
    ],
)
def test_who_cannot_be_reached_is_named_in_time_unless_this_replica_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, seconds: float, after: float, *, up: bool, is_named: bool
) -> None:
    """It tries after 12.75 and after 17.75 seconds."""
    monkeypatch.setattr(links_module, "UNREACHABLE_SECONDS", after)

    async def scenario(world: World) -> None:
        one = await world.replica("one")
        one.client.up = up
        with capture_logs() as logs:
            one.addresses.others = {b"two": ("10.0.0.2", 7002)}
            await asyncio.sleep(LOOK_SECONDS + seconds)
        assert bool(logs) is is_named

    play(scenario)


def test_a_replica_that_moved_is_found_where_it_is_now() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.replica("one"), await world.replica("two")
        one.addresses.others = {two.name: ("10.0.0.9", 7009)}
        await asyncio.sleep(1.0)
        assert not one.links.linked
        one.addresses.others = {two.name: cast("At", two.addresses.mine)}
        await asyncio.sleep(1.0)
        assert one.links.linked == (two.name,)
        # One link is enough.
        attempts = len(world.network.attempts)
        await asyncio.sleep(60.0)
        assert len(world.network.attempts) == attempts

    play(scenario)


def test_an_attempt_has_its_time_and_so_has_a_stranger() -> None:
    async def scenario(world: World) -> None:
        one = await world.replica("one")
        world.network.silent.add(("10.0.0.2", 7002))
        world.network.attempts.clear()
        one.addresses.others = {b"two": ("10.0.0.2", 7002)}
        await asyncio.sleep(2 * CONNECT_SECONDS + 2 * LOOK_SECONDS)
        first = LOOK_SECONDS
        assert [at for at, _ in world.network.attempts] == [first, first + CONNECT_SECONDS + LOOK_SECONDS]
        # At that address somebody accepts, and says nothing.
        world.network.silent.clear()
        world.network.listening["10.0.0.2", 7002] = asyncio.Protocol
        world.network.serving.add(("10.0.0.2", 7002))
        await asyncio.sleep(2 * LOOK_SECONDS)
        [end, _] = world.network.ends
        await asyncio.sleep(CONNECT_SECONDS - 0.2)
        over = end.is_over
        await asyncio.sleep(0.2)
        assert (over, end.is_over, one.links.linked) == (False, True, ())

    play(scenario)


def stranger(world: World, replica: Replica) -> End:
    """Somebody who connects and says nothing."""
    assert replica.addresses.mine is not None
    end, other = End(asyncio.Protocol()), End(world.network.listening[replica.addresses.mine]())
    end.other, other.other = other, end
    other.protocol.connection_made(other)
    return end


def test_a_stranger_may_stay_so_long_and_only_so_many_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "MAX_ACCEPTED", 3)

    async def scenario(world: World) -> None:
        one, _two = await world.pair()
        first, second, third = [stranger(world, one) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert [each.is_over for each in (first, second, third)] == [False, False, True]
        second.abort()
        await asyncio.sleep(0.01)
        fourth = stranger(world, one)
        await asyncio.sleep(CONNECT_SECONDS - 0.03)
        assert [each.is_over for each in (first, fourth)] == [False, False]
        await asyncio.sleep(0.05)
        assert [each.is_over for each in (first, fourth)] == [True, True]
        # Who was introduced stays.
        assert _two.links.linked == (one.name,)
        assert _two.lost == 0

    play(scenario)


def test_questions_are_answered_and_what_needs_no_answer_gets_none() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        answers = await asyncio.gather(*(one.links.ask(two.name, b"%d" % number) for number in range(3)))
        assert answers == [[one.name, b"%d" % number] for number in range(3)]
        for end in world.network.ends:
            end.written.clear()
        one.links.tell(two.name, b"known")
        one.links.tell(b"nobody", b"known")
        await asyncio.sleep(0.01)
        assert two.heard[-1] == (one.name, [b"known"])
        written = [said for end in world.network.ends for said in end.written]
        assert written == [b"*2\r\n$1\r\n0\r\n$5\r\nknown\r\n"]
        with pytest.raises(SharedStateUnavailable, match="no link"):
            await one.links.ask(b"nobody", b"known")
        assert (one.links._asked, two.links._answers) == ({}, set())

    play(scenario)


def test_a_replica_that_answers_nothing_in_time_loses_its_link_and_gets_another() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        two.never = True
        asked = [asyncio.create_task(one.links.ask(two.name, b"?")) for _ in range(2)]
        await asyncio.sleep(0.49)
        assert not any(each.done() for each in asked)
        await asyncio.sleep(0.02)
        for each in asked:
            with pytest.raises(SharedStateUnavailable):
                each.result()
        assert (one.links.linked, one.lost, one.links._asked) == ((), 1, {})
        two.never = False
        await asyncio.sleep(LOOK_SECONDS)
        assert await one.links.ask(two.name, b"?") == [one.name, b"?"]
        # The other way was not touched.
        assert (two.links.linked, two.lost) == ((one.name,), 0)

    play(scenario)


def test_who_waits_for_a_replica_that_goes_hears_it_at_once() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        three = await world.replica("three")
        one.addresses.others[three.name] = cast("At", three.addresses.mine)
        await asyncio.sleep(LOOK_SECONDS)
        two.never = three.never = True
        asked = [asyncio.create_task(one.links.ask(two.name, b"?")) for _ in range(3)]
        of_another = asyncio.create_task(one.links.ask(three.name, b"?"))
        await asyncio.sleep(0.01)
        asked[1].cancel()
        link = one.links._linked[two.name]
        # In the same moment somebody is cancelled, and an answer comes.
        one.links.heard(link, [b"3", b"just in time"])
        one.links.lost(link)
        asked[2].cancel()
        await asyncio.wait(asked)
        with pytest.raises(SharedStateUnavailable, match="gone"):
            asked[0].result()
        assert one.links.linked == (three.name,)
        assert not of_another.done()
        of_another.cancel()
        await two.links.__aexit__()
        assert two.addresses.signed_off == 1
        assert two.addresses.mine not in world.network.listening

    play(scenario)


def test_a_fault_of_ours_in_a_connection_is_logged_and_tried_again() -> None:
    async def scenario(world: World) -> None:
        one = await world.replica("one")
        world.network.broken.add(("10.0.0.2", 7002))
        world.network.attempts.clear()
        with capture_logs() as logs:
            one.addresses.others = {b"two": ("10.0.0.2", 7002)}
            await asyncio.sleep(2 * LOOK_SECONDS)
        assert [log["event"] for log in logs] == ["replica_link_failed"] * 2
        assert len(world.network.attempts) == 2

    play(scenario)


def test_who_does_not_read_hears_nothing_more() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        link = cast("Any", one.links._linked[two.name])
        link._transport.unread = MAX_MESSAGE_BYTES + 1
        one.links.tell(two.name, b"known")
        await asyncio.sleep(0.01)
        assert (one.links.linked, one.lost) == ((), 1)
        await asyncio.sleep(LOOK_SECONDS)
        # Nor is an answer of which nobody takes notice.
        [accepted] = two.links._accepted
        cast("Any", accepted)._transport.unread = MAX_MESSAGE_BYTES + 1
        with pytest.raises(SharedStateUnavailable):
            await one.links.ask(two.name, b"?")

    play(scenario)


def test_an_answer_that_nobody_waits_for_is_passed_over() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        [accepted] = two.links._accepted
        two.never = True
        asked = asyncio.create_task(one.links.ask(two.name, b"?"))
        await asyncio.sleep(0.01)
        for number in (b"2", b"-1", b"no", b"0"):
            accepted.send(number, b"nonsense")
        await asyncio.sleep(0.01)
        assert not asked.done()
        accepted.send(b"1", b"at last")
        accepted.send(b"1", b"once more")
        assert await asked == [b"at last"]
        accepted.send(b"1", b"too late")
        await asyncio.sleep(0.01)
        assert one.links.linked == (two.name,)

    play(scenario)


def test_a_new_link_stands_in_for_the_last_one_and_the_end_of_that_one_means_nothing() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        before = one.links._linked.pop(two.name)
        await asyncio.sleep(LOOK_SECONDS)
        assert one.links.linked == (two.name,)
        before.abort()
        await asyncio.sleep(0.01)
        assert (one.links.linked, one.lost) == ((two.name,), 0)

    play(scenario)


def test_without_an_answer_to_give_a_question_is_left() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        two.links._answering = None
        with pytest.raises(SharedStateUnavailable):
            await one.links.ask(two.name, b"?")
        assert two.heard == []

    play(scenario)


def test_a_replica_that_ends_lets_nobody_in_and_waits_for_what_is_under_way() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        two.never = True
        asked = asyncio.create_task(one.links.ask(two.name, b"?"))
        two.addresses.others[b"three"] = ("10.0.0.3", 7003)
        world.network.silent.add(("10.0.0.3", 7003))
        await asyncio.sleep(LOOK_SECONDS)
        factory = world.network.listening[cast("At", two.addresses.mine)]
        [answer] = two.links._answers
        [connecting] = two.links._connecting.values()
        await two.links.__aexit__()
        assert (answer.cancelled(), connecting.cancelled()) == (True, True)
        assert (two.links.linked, two.links._accepted, two.links._connecting) == ((), set(), {})
        late = End(factory())
        late.protocol.connection_made(late)
        assert late.is_over
        with pytest.raises(SharedStateUnavailable):
            await asked

    play(scenario)


def test_without_redis_a_replica_begins_and_ends_all_the_same() -> None:
    async def scenario(world: World) -> None:
        one = await world.replica("one", up=False)
        await asyncio.sleep(60.0)
        assert one.addresses.renewed == []
        assert world.network.attempts == []

    play(scenario)


def test_replicas_of_every_version_choose_the_same_owners_and_only_keys_of_one_that_is_gone_move() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.pair()
        three = await world.replica("three")
        one.addresses.others[three.name] = cast("At", three.addresses.mine)
        await asyncio.sleep(LOOK_SECONDS)
        keys = [blake2b(b"%d" % number, digest_size=15).digest() for number in range(300)]
        owners = [one.links.owner_of(key) for key in keys]
        assert blake2b(b" ".join(owners), digest_size=8).hexdigest() == "270fa730079d9842"
        one.addresses.others.pop(three.name)
        one.links._linked[three.name].abort()
        await asyncio.sleep(0.01)
        left = [one.links.owner_of(key) for key in keys]
        assert all(now == then for now, then in zip(left, owners, strict=True) if then != three.name)
        assert left == [two.links.owner_of(key) for key in keys]

    play(scenario)
