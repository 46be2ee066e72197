"""I5: what one caller asks for takes nothing from another, and a caller by itself gets everything."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from service.models import NOBODY, RecommendationQuery, Sender, sender_of_key, sender_of_password
from tests.support.replica import open_replica
from tests.support.virtual_time import run_virtual

pytestmark = pytest.mark.long

GREEDY, MODEST = sender_of_key(0), sender_of_key(1)


def shares(rates: Mapping[Sender, float], *, seconds: int = 20, **terms: Any) -> dict[Sender, float]:  # noqa: ANN401  # of `open_replica`
    """Which part of each sender's calls gets a live list, where each call is about a user whom nobody knows."""

    async def scenario() -> dict[Sender, float]:
        live: Counter[Sender] = Counter()
        async with open_replica(**terms) as replica:

            async def call(sender: Sender, number: int) -> None:
                await asyncio.sleep(number / rates[sender])
                query = RecommendationQuery(user_id=f"{sender}/{number}", num_results=10, sender=sender)
                answer = await replica.answer(query)
                live[sender] += answer.source == "personalize"

            await asyncio.gather(*(call(one, n) for one, rate in rates.items() for n in range(int(rate * seconds))))
        return {one: live[one] / (rate * seconds) for one, rate in rates.items()}

    return run_virtual(scenario())


@pytest.mark.parametrize("other", [sender_of_password(0), NOBODY])
def test_who_asks_for_less_than_its_part_gets_all_of_it_beside_a_flood(other: Sender) -> None:
    found = shares({GREEDY: 100, other: 2}, tps=5)

    assert found[other] == 1
    assert found[GREEDY] * 100 == pytest.approx(3, abs=0.5)


def test_what_is_left_by_the_others_goes_to_who_wants_more() -> None:
    assert shares({GREEDY: 50}, tps=5)[GREEDY] * 50 == pytest.approx(5, abs=0.3)
    three = shares({GREEDY: 50, MODEST: 50, sender_of_key(2): 1}, tps=5)

    assert three[sender_of_key(2)] == 1
    assert three[GREEDY] * 50 == pytest.approx(2, abs=0.2)
    assert three[MODEST] * 50 == pytest.approx(2, abs=0.2)


def test_turns_follow_the_weights() -> None:
    found = shares({GREEDY: 50, MODEST: 50}, tps=10, weights={MODEST: 4.0})

    assert found[GREEDY] * 50 == pytest.approx(2, abs=0.3)
    assert found[MODEST] * 50 == pytest.approx(8, abs=0.3)


def test_a_flood_that_takes_every_place_to_wait_leaves_the_others_theirs() -> None:
    found = shares({GREEDY: 200, MODEST: 2}, tps=100, max_waiting=20, deadline_seconds=1.5, seconds=5)

    assert found[MODEST] == 1
