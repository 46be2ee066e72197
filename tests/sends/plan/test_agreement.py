"""The simulation against the core itself: the same send, call by call, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from service.constants import SPENT_SHARE
from service.lists.envelope import Envelope, created_at, seal
from service.lists.keys import UserKey, UserPrefix, prefix_of
from service.models import ItemList
from service.sends.plan.recipients import recipients_of
from service.sends.plan.send import Send
from service.sends.plan.simulation import simulate
from tests.support.examples import examples
from tests.support.fakes import FakePersonalize
from tests.support.replica import ITEMS, key_of, open_replica
from tests.support.virtual_time import VirtualClock, run_virtual

pytestmark = pytest.mark.long

Counts = tuple[Counter[str], Counter[str], int]


class Batch:
    """Batch lists by key."""

    def __init__(self) -> None:
        self.lists: dict[UserKey, Envelope] = {}

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        pass

    async def get(self, key: UserKey) -> Envelope | None:
        return self.lists.get(key)

    async def forget(self, user_prefix: bytes) -> None:
        raise NotImplementedError(user_prefix)


class Doings:
    """When users did something, by what their keys begin with; a `Liveness`."""

    def __init__(self) -> None:
        self.at: dict[UserPrefix, float] = {}

    def changed_at(self, user_prefix: UserPrefix) -> float | None:
        return self.at.get(user_prefix, float("-inf"))

    async def learn(self, user_prefixes: Sequence[UserPrefix]) -> None:
        pass


async def _really(send: Send) -> Counts:
    """First calls and all calls by source, and transactions, as the core makes them."""
    clock = VirtualClock(asyncio.get_running_loop())
    personalize = FakePersonalize(clock, latency_seconds=send.latency_seconds)
    first: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    batch, doings = Batch(), Doings()
    async with open_replica(
        tps=send.tps * SPENT_SHARE,
        personalize=personalize,
        fresh_seconds=send.fresh_seconds,
        stale_seconds=send.stale_seconds,
        batch=batch,
        live=doings if send.active else None,
    ) as replica:
        began = clock.monotonic()
        unix_began = clock.time()

        async def call(number: int, at: float, part: int) -> None:
            await asyncio.sleep(max(0.0, began + at - clock.monotonic()))
            source = (await replica.ask(str(number), within=send.deadline_seconds)).source
            calls[source] += 1
            if part == 0:
                first[source] += 1

        async with asyncio.TaskGroup() as messages:
            for one in recipients_of(send):
                key = key_of(str(one.number))
                if one.list.kept is not None:
                    replica.local.put(key, _made(unix_began + created_at(one.list.kept)))
                if one.list.kept is not None and one.list.is_due:
                    doings.at[prefix_of(key)] = unix_began + created_at(one.list.kept) + 1
                if one.list.batch is not None:
                    batch.lists[key] = _made(unix_began + created_at(one.list.batch))
                for part in range(send.passes):
                    messages.create_task(call(one.number, one.asked_at + part * one.gap_seconds, part))
        await asyncio.sleep(max(0.0, began + send.seconds - clock.monotonic()))
        return first, calls, personalize.transactions.total()


def _made(at: float) -> Envelope:
    return seal(ItemList(ITEMS[:30], "RID", at))


def _assert_agrees(send: Send, within: float) -> None:
    """No source's share differs by more than so much, nor the transactions by as large a part of the messages."""
    first, calls, transactions = run_virtual(_really(send))
    course = simulate(send)
    counted = {
        source: (first[source] / send.recipients, calls[source] / calls.total()) for source in {*calls, *course.calls}
    }
    planned = {source: (course.share(source), course.share_of_calls(source)) for source in counted}  # type: ignore[arg-type]
    for source, shares in counted.items():
        assert shares == pytest.approx(planned[source], abs=within), (source, counted, planned)
    assert course.transactions == pytest.approx(transactions, abs=1 + within * send.recipients)


def _assert_agrees_about(send: Send, within: float) -> None:
    """The same, or for a TPS just below and one just above.

    Where the time between two messages is a part of that between two slots, each slot falls together with a message:
    who comes first is decided within a millisecond, and for all of them.
    """
    try:
        _assert_agrees(send, within)
    except AssertionError:
        for tps in (send.tps * 0.997, send.tps * 1.003):
            _assert_agrees(replace(send, tps=tps), within)


LIVE: Any = {"cached_age_seconds": 10, "fresh_seconds": 604_800}
"""Lists that are fresh until their users do something."""


@pytest.mark.parametrize(
    "send",
    [
        Send(recipients=300, passes=3, minutes=0.5, tps=5),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, cached=0.4),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, cached=0.2, batch=0.7),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, stale=0.6, batch=0.5),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, stale=0.6, batch=0.5, stale_newer=True),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, stale=0.6),
        Send(recipients=300, passes=3, minutes=0.5, tps=8, cached=0.3, stale=0.4, gap_seconds=0.3),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, stale=0.5, gap_seconds=6),
        # The gap is a multiple of the time between two messages: first and further calls would come in one moment.
        Send(
            recipients=100,
            passes=3,
            minutes=1 / 3,
            tps=20.203012612100473,
            cached=0.31190433126271794,
            stale=0.1276611665792319,
            batch=0.2537248045808212,
            stale_newer=True,
            gap_seconds=7,
            latency_seconds=0.014925065136510533,
            fresh_seconds=10,
        ),
        Send(recipients=300, passes=2, minutes=0.5, tps=5, cached=0.8, fresh_seconds=20),
        Send(recipients=300, passes=1, minutes=2, tps=5, peak=2.4),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, latency_seconds=0.6),
        Send(recipients=300, passes=3, minutes=0.5, tps=0.3, deadline_seconds=5),
        Send(recipients=300, passes=3, minutes=0.5, tps=12, stale=0.9),
        Send(recipients=300, passes=3, minutes=0.5, tps=5, **LIVE, cached=1, active=0.08),
        Send(recipients=300, passes=3, minutes=0.5, tps=2, **LIVE, cached=0.9, active=0.5),
    ],
    ids=str,
)
def test_a_send_is_predicted_as_the_core_answers_it(send: Send) -> None:
    _assert_agrees(send, within=0.015)


def test_a_send_whose_slots_fall_together_with_messages_is_predicted_beside_it() -> None:
    minutes, tps = 2.4024673830738257, 0.6172382621709674
    fresh = Send(recipients=109, passes=1, minutes=minutes, tps=tps, cached=0.97, peak=2.4, latency_seconds=0.02)
    together = replace(fresh, fresh_seconds=10, gap_seconds=0.4)
    with pytest.raises(AssertionError):
        _assert_agrees(together, within=0.05)
    _assert_agrees_about(together, within=0.05)


# Without shrinking, which takes minutes here: what fails is printed as it is.
@examples(12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_any_send_is_predicted_as_the_core_answers_it(data: st.DataObject) -> None:
    cached = data.draw(st.floats(0, 1))
    send = Send(
        recipients=data.draw(st.integers(100, 250)),
        passes=data.draw(st.integers(1, 3)),
        minutes=data.draw(st.floats(0.1, 3)),
        tps=data.draw(st.floats(0.5, 30)),
        cached=cached,
        stale=data.draw(st.floats(0, 1)) * (1 - cached),
        batch=data.draw(st.floats(0, 1)),
        stale_newer=data.draw(st.booleans()),
        gap_seconds=data.draw(st.sampled_from([0, 0.4, 7])),
        peak=data.draw(st.sampled_from([1, 2.4])),
        latency_seconds=data.draw(st.floats(0.01, 0.3)),
        fresh_seconds=data.draw(st.sampled_from([10, 900])),
    )
    _assert_agrees_about(send, within=0.05)
