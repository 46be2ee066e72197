"""Forgetting a user: the stores are asked at once, and once more when nothing of before is on its way any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from service.errors import SharedStateUnavailable
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.keys import UserPrefix
from service.lists.tombstone import tombstone
from service.models import ListRequest
from tests.support.clocks import StandingClock
from tests.support.replica import KEYS
from tests.support.virtual_time import VirtualClock, run_virtual

FLIGHT_SECONDS = 4.0
ANN, BOB = KEYS.prefix("ann"), KEYS.prefix("bob")


class Holder:
    """Writes down who was to be forgotten, and when."""

    def __init__(self, *names: str, down_from: float = 1e9) -> None:
        self.asked: list[tuple[float, UserPrefix]] = []
        self.keys = [KEYS.of(ListRequest(name)) for name in names]
        self.down_from = down_from

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        now = asyncio.get_running_loop().time()
        self.asked.append((now, user_prefix))
        if now >= self.down_from:
            raise SharedStateUnavailable

    def kept_keys(self) -> list[bytes]:
        return list(self.keys)

    def clear(self) -> None:
        self.keys.clear()


def forgetting_of(*shared: Holder) -> tuple[Forgetting, ForgottenLately]:
    clock = VirtualClock(asyncio.get_running_loop())
    lately = ForgottenLately(clock=clock, flight_seconds=FLIGHT_SECONDS)
    return Forgetting(keys=KEYS, lately=lately, flight_seconds=FLIGHT_SECONDS, shared=shared), lately


def play(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(scenario)


@pytest.mark.parametrize("down_after", [1e9, 1.0])
def test_stores_are_asked_at_once_and_again_when_what_was_under_way_has_landed(down_after: float) -> None:
    async def scenario() -> None:
        began = asyncio.get_running_loop().time()
        first, second, here = Holder(down_from=began + down_after), Holder(), Holder()
        forgetting, lately = forgetting_of(first)
        forgetting.share(second)
        forgetting.add(here)
        await forgetting.forget("ann")
        at_once = [(began, ANN)]
        assert (first.asked, second.asked, here.asked) == (at_once, at_once, at_once)
        await asyncio.sleep(FLIGHT_SECONDS / 2)
        assert lately.holds(KEYS.of(ListRequest("ann")))
        assert not lately.holds(KEYS.of(ListRequest("bob")))
        await asyncio.sleep(FLIGHT_SECONDS)
        later = [*at_once, (began + FLIGHT_SECONDS, ANN)]
        # A store that is down by then keeps the ones behind it from being asked, and breaks nothing.
        assert first.asked == later
        assert here.asked == at_once
        assert second.asked == (later if down_after > FLIGHT_SECONDS else at_once)
        assert not lately.holds(KEYS.of(ListRequest("ann")))
        await forgetting.close()

    play(scenario())


def test_a_store_that_is_down_says_so_and_the_user_is_forgotten_here() -> None:
    async def scenario() -> None:
        here = Holder()
        forgetting, lately = forgetting_of(Holder(down_from=0.0))
        forgetting.add(here)
        with pytest.raises(SharedStateUnavailable):
            await forgetting.forget("ann")
        assert [user for _, user in here.asked] == [ANN]
        assert lately.holds(KEYS.of(ListRequest("ann")))
        await forgetting.close()

    play(scenario())


def test_what_another_replica_was_asked_is_done_here_and_not_asked_of_the_stores() -> None:
    async def scenario() -> None:
        store, here = Holder(), Holder()
        forgetting, lately = forgetting_of(store)
        forgetting.add(here)
        forgetting.heard(ANN)
        await asyncio.sleep(0)
        assert [user for _, user in here.asked] == [ANN]
        assert lately.holds(KEYS.of(ListRequest("ann")))
        await asyncio.sleep(2 * FLIGHT_SECONDS)
        assert store.asked == []
        assert len(here.asked) == 1
        await forgetting.close()

    play(scenario())


def test_of_a_tombstone_every_holder_hears_once_if_anything_of_the_user_is_kept() -> None:
    async def scenario() -> None:
        searched, other = Holder("bob", "ann", "ann"), Holder()
        forgetting, lately = forgetting_of()
        forgetting.search(searched)
        forgetting.add(other)
        forgetting.found_forgotten([tombstone(ANN), tombstone(KEYS.prefix("never seen"))])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [user for _, user in searched.asked] == [user for _, user in other.asked] == [ANN]
        assert lately.holds(KEYS.of(ListRequest("ann")))
        assert not lately.holds(KEYS.of(ListRequest("bob")))
        forgetting.missed_some()
        assert searched.keys == []
        await forgetting.close()

    play(scenario())


def test_what_is_not_done_at_the_end_is_left() -> None:
    async def scenario() -> None:
        store = Holder()
        forgetting, _ = forgetting_of(store)
        await forgetting.forget("ann")
        await forgetting.close()
        await asyncio.sleep(2 * FLIGHT_SECONDS)
        assert len(store.asked) == 1

    play(scenario())


@pytest.mark.parametrize(("asked_at", "holds"), [(None, True), (4.9, True), (5.0, True), (5.1, False)])
def test_what_was_asked_for_after_its_user_was_forgotten_may_be_kept(asked_at: float | None, *, holds: bool) -> None:
    clock = StandingClock(5.0)
    lately = ForgottenLately(clock=clock, flight_seconds=FLIGHT_SECONDS)
    lately.add(ANN)
    clock.now += 1.0
    assert lately.holds(KEYS.of(ListRequest("ann")), asked_at) is holds
    assert not lately.holds(KEYS.of(ListRequest("bob")), asked_at)
