"""Where pins of sends are kept: Redis and a file do the same."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.lists.keys import UserKey, UserPrefix
from service.sends.adapters.redis import RedisSendStore
from service.sends.adapters.sqlite import SqliteSendStore
from service.sends.ports import MAX_ITEMS_OF_A_SEND, MAX_SENDS, SendStore, ShownItems
from tests.support.clocks import MovingClock
from tests.support.fleet import join
from tests.support.redis import RedisServer

ANN, BOB = b"ann-----", b"bob-----"
KEY = UserKey(ANN + b"digest--")


def pin(asked: int, text: bytes) -> bytes:
    return asked.to_bytes(2, "big") + text


def shown(send: bytes, *items: bytes) -> ShownItems:
    return ShownItems(send, items)


@pytest.fixture(params=["a file", pytest.param("Redis", marks=pytest.mark.processes)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SendStore]:
    async with AsyncExitStack() as stack:
        if request.param == "Redis":
            server = stack.enter_context(RedisServer())
            member = await stack.enter_async_context(join(server.url, MovingClock()))
            yield RedisSendStore(member.client, prefix="pc:test")
        else:
            file = SqliteSendStore(tmp_path, clock=MovingClock())
            stack.push_async_callback(file.close)
            yield file


async def keep(store: SendStore, packed: bytes, *, instead_of: int = 0, send: bytes = b"send") -> bytes | None:
    return await store.keep(KEY, packed, instead_of=instead_of, seconds=100, shown=shown(send, b"item"))


async def test_the_first_pin_counts_and_only_who_goes_on_from_it_replaces_it(store: SendStore) -> None:
    assert await store.look(KEY) == (None, [])
    assert await keep(store, pin(4, b"first")) is None
    assert await keep(store, pin(4, b"second")) == pin(4, b"first")
    assert await keep(store, pin(9, b"longer, of another head")) == pin(4, b"first")
    assert await keep(store, pin(10, b"first and on"), instead_of=4) is None
    assert await keep(store, pin(8, b"late"), instead_of=4) == pin(10, b"first and on")
    assert (await store.look(KEY))[0] == pin(10, b"first and on")


async def test_what_was_shown_is_kept_by_send_each_item_once_and_bounded(store: SendStore) -> None:
    many = [bytes([number // 256, number % 256, 0, 0]) for number in range(MAX_ITEMS_OF_A_SEND + 5)]
    for number in range(MAX_SENDS + 3):
        send = b"s%03d" % number
        for part, items in enumerate((many[:2], many[1:4])):
            key = UserKey(ANN + b"%03d-%03d-" % (number, part))
            assert await store.keep(key, pin(1, b""), instead_of=0, seconds=100, shown=shown(send, *items)) is None
    _, found = await store.look(KEY)
    assert [one.send for one in found] == [b"s%03d" % number for number in range(3, MAX_SENDS + 3)]
    assert all(one.items == tuple(many[:4]) for one in found)
    await store.keep(KEY, pin(1, b""), instead_of=0, seconds=100, shown=shown(b"many", *many))
    assert len((await store.look(KEY))[1][-1].items) == MAX_ITEMS_OF_A_SEND
    # What is somebody else's is not touched.
    assert await store.look(UserKey(BOB + b"digest--")) == (None, [])


async def test_a_file_forgets_a_user_and_what_has_ended(tmp_path: Path) -> None:
    clock = MovingClock()
    store = SqliteSendStore(tmp_path, clock=clock)
    await keep(store, pin(4, b"first"))
    clock.moved_seconds += 101
    assert (await store.look(KEY))[0] is None
    assert await keep(store, pin(4, b"second")) is None
    await store.forget_user(UserPrefix(ANN))
    assert await store.look(KEY) == (None, [])
    await store.close()
