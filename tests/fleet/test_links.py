"""Replicas that are linked with each other, on one Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import blake2b

import hiredis
import pytest

from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.fleet.link import MAX_STRANGER_BYTES, Message, proof
from service.fleet.links import Links
from tests.support.fleet import join
from tests.support.redis import RedisServer
from tests.support.waiting import until


@asynccontextmanager
async def linked(server: RedisServer, clock: Clock) -> AsyncIterator[Links]:
    """A replica that answers with what it is asked, and the name of who asks."""

    async def echo(who: bytes, words: Message) -> Message:
        if words == [b"never"]:
            await asyncio.Event().wait()
        seen.append(words)
        return [who, *words]

    seen: list[Message] = []
    async with (
        join(server.url, clock, heartbeat_seconds=0.05) as member,
        Links(member.client, member.heartbeat, clock=clock, timeout_seconds=5.0) as links,
    ):
        links.answer_with(echo, on_lost=lambda: seen.append([b"lost"]))
        links.seen = seen  # type: ignore[attr-defined]  # for the test to look at
        yield links


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.fleet.links.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("service.fleet.links.AGAIN_SECONDS", 0.02)


async def all_linked(*links: Links) -> None:
    await until(lambda: all(len(one.linked) == len(links) - 1 for one in links))


async def test_linked_replicas_answer_each_other_and_agree_on_who_owns_a_key(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(linked(redis_server, clock)) for _ in range(3)]
        await all_linked(one, two, three)

        answers = await asyncio.gather(*(one.ask(other.replica, b"", b"\r\n*1") for other in (two, three)))
        two.tell(three.replica, b"said")
        await until(lambda: [b"said"] in three.seen)  # type: ignore[attr-defined]  # as above

        assert answers == [[one.replica, b"", b"\r\n*1"]] * 2
        keys = [blake2b(b"%d" % number, digest_size=15).digest() for number in range(600)]
        owners = [one.owner_of(key) for key in keys]
        assert owners == [two.owner_of(key) for key in keys] == [three.owner_of(key) for key in keys]
        assert all(owners.count(each.replica) > 50 for each in (one, two, three))
        # Who leaves is no owner, and takes no other key along.
        await stack.enter_async_context(AsyncExitStack())
    async with linked(redis_server, clock) as one, linked(redis_server, clock) as two:
        await all_linked(one, two)


async def test_links_go_on_without_redis_and_end_with_their_replica(redis_server: RedisServer, clock: Clock) -> None:
    async with linked(redis_server, clock) as one:
        async with linked(redis_server, clock) as two:
            await all_linked(one, two)
            redis_server.kill()
            assert await one.ask(two.replica, b"still there?") == [one.replica, b"still there?"]
            waiting = asyncio.create_task(one.ask(two.replica, b"never"))
            await asyncio.sleep(0)
            gone = two.replica
        with pytest.raises(SharedStateUnavailable):
            await waiting
        with pytest.raises(SharedStateUnavailable):
            await one.ask(gone, b"hello?")
        await until(lambda: one.linked == ())
        assert [b"lost"] in one.seen  # type: ignore[attr-defined]  # as above
        redis_server.start()


async def test_a_replica_that_does_not_answer_is_asked_again_on_a_new_connection(
    redis_server: RedisServer, clock: Clock
) -> None:
    async with linked(redis_server, clock) as one, linked(redis_server, clock) as two:
        await all_linked(one, two)
        one.timeout_seconds = 0.01
        with pytest.raises(SharedStateUnavailable):
            await one.ask(two.replica, b"never")
        one.timeout_seconds = 5.0
        await until(lambda: [b"lost"] in one.seen)  # type: ignore[attr-defined]  # as above
        await all_linked(one, two)
        assert await one.ask(two.replica, b"now") == [one.replica, b"now"]


async def test_nobody_is_let_in_without_the_secret(redis_server: RedisServer, clock: Clock) -> None:
    async with linked(redis_server, clock) as one, linked(redis_server, clock) as two:
        await all_linked(one, two)
        host, port = one._addresses.others[two.replica]
        [secret] = two.secrets
        assert await answered(host, port, secret) == b"me"
        for attempt in (b"x" * 32, b"", secret[:-1]):
            assert await answered(host, port, attempt) is None
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$9999999\r\n", b"\x00" * 4 * MAX_STRANGER_BYTES, b":1\r\n"):
            reader, writer = await asyncio.open_connection(host, port)
            await reader.readuntil(b"\r\n")
            writer.write(nonsense)
            writer.write_eof()
            # Its end, whatever else of the challenge comes before.
            await reader.read()
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), 5)
        assert await one.ask(two.replica, b"well?") == [one.replica, b"well?"]


@pytest.mark.parametrize(
    "promise", [b"*400000000\r\n", b"*1\r\n*400000000\r\n", b"*4\r\n$99999", b"*0\r\n", b"*-1\r\n"]
)
async def test_a_stranger_who_promises_much_is_left_at_once(
    redis_server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch, promise: bytes
) -> None:
    monkeypatch.setattr("service.fleet.links.CONNECT_SECONDS", 600.0)
    async with linked(redis_server, clock) as one, linked(redis_server, clock) as two:
        await all_linked(one, two)
        reader, writer = await asyncio.open_connection(*one._addresses.others[two.replica])
        try:
            await reader.readuntil(b"\r\n")
            writer.write(promise)
            async with asyncio.timeout(20):
                await reader.read()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def answered(host: str, port: int, secret: bytes) -> bytes | None:
    """What somebody with this secret is answered; None if the connection ends first."""
    reader, writer = await asyncio.open_connection(host, port)
    parser = hiredis.Reader()

    async def read() -> Message | None:
        while (message := parser.gets()) is False:
            data = await reader.read(4096)
            if not data:
                return None
            parser.feed(data)
        found: Message = message
        return found

    try:
        hello = await read()
        assert hello is not None
        mine = b"c" * 16
        proved = proof(secret, b"connects", hello[1], mine, b"me")
        writer.write(hiredis.pack_command((hello[0], b"me", mine, proved)))  # type: ignore[arg-type]  # its types know one word only
        accepted = await read()
        if accepted is None:
            return None
        assert len(accepted) == 2
        writer.write(hiredis.pack_command((b"1", b"who am I?")))  # type: ignore[arg-type]  # as above
        answer = await read()
        assert answer is not None
        return answer[1]
    finally:
        writer.close()
        await writer.wait_closed()
