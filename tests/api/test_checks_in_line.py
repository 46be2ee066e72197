"""The line of credentials to be checked against slow hashes: how long it is, who comes first. Time is virtual."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import pytest

from service.api import slow_checks
from service.api.slow_checks import MAX_WAITING, SlowChecks
from service.credentials import SlowlyHashedSecret
from tests.support.virtual_time import VirtualClock, run_virtual

CHECK_SECONDS = 0.1


@dataclass
class Hash:
    """Matches one secret."""

    mine: bytes

    def matches(self, secret: bytes) -> bool:
        return secret == self.mine


class Scene:
    """Checks that take a tenth of a second each, and when each began."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began_at = self.loop.time()
        self.checked: list[tuple[float, bytes]] = []
        self.known: list[tuple[bytes, int]] = []
        self.checks = SlowChecks(
            cast("dict[int, SlowlyHashedSecret]", {3: Hash(b"right"), 5: Hash(b"other")}),
            VirtualClock(self.loop),
            lambda mark, at: self.known.append((mark, at)),
        )

    def now(self) -> float:
        return round(self.loop.time() - self.began_at, 3)

    async def in_a_thread(self, work: Callable[[bytes], object], secret: bytes) -> object:
        self.checked.append((self.now(), secret))
        await asyncio.sleep(CHECK_SECONDS)
        return work(secret)

    def ask(self, secret: bytes) -> "asyncio.Task[tuple[bool, float]]":
        async def asked() -> tuple[bool, float]:
            found = await self.checks.check(b"mark " + secret, secret)
            return found, self.now()

        return asyncio.create_task(asked())


def play(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene()
        monkeypatch.setattr(asyncio, "to_thread", scene.in_a_thread)
        await scenario(scene)
        # The line is empty, and its worker has ended.
        await asyncio.sleep(MAX_WAITING)

    run_virtual(run())


def test_one_is_checked_at_a_time_and_then_nothing_for_three_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """I6"""

    async def scenario(scene: Scene) -> None:
        asked = [scene.ask(one) for one in (b"wrong", b"guess", b"right", b"right", b"other")]
        assert [await one for one in asked] == [
            (False, 0.5),
            # It would be checked, but not as soon as its caller gives up.
            (False, 0.9),
            (True, 0.1),
            (True, 0.1),
            (False, 1.2),
        ]
        # What two send goes before what is sent once.
        await asyncio.sleep(1)
        assert scene.checked == [(0.0, b"right"), (0.4, b"wrong"), (0.8, b"guess"), (1.2, b"other")]
        assert scene.known == [(b"mark right", 3), (b"mark other", 5)]
        # A refused one is not checked again.
        assert await scene.ask(b"wrong") == (False, scene.now())
        assert len(scene.checked) == 4

    play(monkeypatch, scenario)


def test_nobody_waits_behind_a_line_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """I6"""

    async def scenario(scene: Scene) -> None:
        waiting = [scene.ask(b"%d" % number) for number in range(MAX_WAITING)]
        one_more = scene.ask(b"more")
        same = scene.ask(b"1")
        for _ in range(5):
            await asyncio.sleep(0)
        assert [one.done() for one in (*waiting, same)] == [False] * (MAX_WAITING + 1)
        assert await one_more == (False, 0.0)
        await asyncio.gather(*waiting, same)

    play(monkeypatch, scenario)


def test_the_latest_that_were_refused_are_remembered_and_older_ones_are_checked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I6"""
    monkeypatch.setattr(slow_checks, "MAX_REFUSED", 2)

    async def scenario(scene: Scene) -> None:
        async def ask(secret: bytes) -> int:
            before = len(scene.checked)
            found, _ = await scene.ask(secret)
            assert not found
            await asyncio.sleep(1)
            return len(scene.checked) - before

        assert [await ask(one) for one in (b"a", b"b", b"c")] == [1, 1, 1]
        assert [await ask(one) for one in (b"c", b"b", b"a")] == [0, 0, 1]
        # It took the place of the oldest, and not of the one that was asked for least.
        assert [await ask(one) for one in (b"c", b"a", b"b")] == [0, 0, 1]

    play(monkeypatch, scenario)
