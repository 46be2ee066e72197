"""A password of a person is kept as a slow hash, which costs each credential once and the service nothing."""

import asyncio
import base64
import threading
from functools import cache
from pathlib import Path

import pytest

from service.api import slow_checks
from service.api.auth import Gate
from service.api.slow_checks import MAX_WAITING
from service.credentials import SlowlyHashedSecret, hash_key
from tests.support.clocks import StandingClock
from tests.support.front_door import OpenDoor
from tests.support.waiting import until

PAIR = "recommendations:braze123"


@cache
def slow_hash() -> str:
    return hash_key(PAIR)


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def raw(pair: str) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in basic(pair).items()]


class Checked:
    """Counts the slow hashes that are computed, and holds them until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secrets: list[bytes] = []
        self.let_go = threading.Event()
        self.let_go.set()
        self.really = True
        matches = SlowlyHashedSecret.matches

        def counted(one: SlowlyHashedSecret, secret: bytes) -> bool:
            assert threading.current_thread() is not threading.main_thread()
            self.secrets.append(secret)
            self.let_go.wait()
            return matches(one, secret) if self.really else secret == PAIR.encode()

        monkeypatch.setattr(SlowlyHashedSecret, "matches", counted)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    monkeypatch.setattr(slow_checks, "REST", 0.0)
    # A busy machine may take longer for a hash than a caller would wait.
    monkeypatch.setattr(slow_checks, "MAX_WAIT_SECONDS", 60.0)
    return Checked(monkeypatch)


def test_a_password_is_measured_by_itself_and_gets_a_slow_hash() -> None:
    """I6: `recommendations:braze123` has 24 characters, of which 8 are secret."""
    assert slow_hash().startswith("scrypt:")
    assert hash_key("braze:" + "x" * 24).startswith("blake2b:")
    with pytest.raises(ValueError, match="at least 8 characters behind recommendations:, not 7"):
        hash_key("recommendations:braze12")


async def test_a_slowly_hashed_password_opens_and_is_checked_once(
    open_door: OpenDoor, tmp_path: Path, checked: Checked
) -> None:
    """I6"""
    (tmp_path / "basic").write_text(f"\ufeff{slow_hash()}\n", "utf-8")
    async with open_door(BASIC_AUTH_FILE=str(tmp_path / "basic"), ALLOW_ANONYMOUS="false") as door:
        calls = [door.http.get("/recommendations?user_id=u", headers=basic(PAIR)) for _ in range(20)]
        assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
        for _ in range(3):
            answer = await door.http.get("/recommendations?user_id=u", headers=basic(PAIR))
            assert answer.headers["X-Recommendation-Source"] == "cache"
        assert checked.secrets == [PAIR.encode()]

        for _ in range(3):
            assert (await door.http.get("/version", headers=basic("recommendations:wrong"))).status_code == 401
        assert len(checked.secrets) == 2


async def test_somebody_who_guesses_keeps_no_caller_out(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    """I6"""
    monkeypatch.setattr(slow_checks, "MAX_WAIT_SECONDS", 30.0)
    gate = Gate(api_keys=(), basic=[slow_hash()], admin_keys=(), anonymous=False, clock=StandingClock())
    checked.really = False
    checked.let_go.clear()
    guesses = [asyncio.ensure_future(gate.lets_in(raw(f"recommendations:guess{n}"))) for n in range(MAX_WAITING // 2)]
    await until(lambda: len(checked.secrets) == 1)
    callers = [asyncio.ensure_future(gate.lets_in(raw(PAIR))) for _ in range(3)]
    more = [asyncio.ensure_future(gate.lets_in(raw(f"recommendations:more{n}"))) for n in range(2 * MAX_WAITING)]
    await asyncio.sleep(0)
    # Nobody waits behind a line that is full.
    assert sum(one.done() for one in more) >= MAX_WAITING
    checked.let_go.set()

    assert await asyncio.gather(*callers) == [True] * 3
    # What several send goes before what is sent once.
    assert checked.secrets[1] == PAIR.encode()
    assert not any(await asyncio.gather(*guesses, *more))


async def test_a_caller_does_not_wait_for_a_check_that_takes_too_long(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6"""
    monkeypatch.setattr(slow_checks, "MAX_WAIT_SECONDS", 0.01)
    gate = Gate(api_keys=(), basic=[slow_hash()], admin_keys=(), anonymous=False, clock=StandingClock())
    checked.let_go.clear()
    assert not await gate.lets_in(raw(PAIR))
    checked.let_go.set()
    await until(lambda: gate.admits(raw(PAIR)))


@pytest.mark.parametrize("cost", ["31:8:1", "14:99:9", "20:8:1", "0:8:1"])
def test_a_hash_that_would_take_too_long_is_none(cost: str) -> None:
    """I6"""
    written = slow_hash().replace("14:8:5", cost)
    assert SlowlyHashedSecret.parse(slow_hash())
    assert SlowlyHashedSecret.parse(written) is None
