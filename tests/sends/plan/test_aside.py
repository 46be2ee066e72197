"""Plans beside the event loop: bounded, one at a time, and nothing is left behind."""

import asyncio

import pytest

from service.errors import TryLater
from service.sends.plan import aside
from service.sends.plan.aside import MAX_WAITING, PlannerAside

pytestmark = pytest.mark.processes

SEND = {"recipients": 100, "passes": 1, "minutes": 1.0, "tps": 5.0}


async def test_a_plan_that_takes_too_long_ends_in_words_and_the_next_one_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planner = PlannerAside()
    with monkeypatch.context() as patch:
        patch.setattr(aside, "PLAN_SECONDS", 0.0)
        with pytest.raises(TryLater, match="not ready within 0 s"):
            await planner.plan(SEND, 0.8)

    assert (await planner.plan(SEND, 0.8))["sentence"].endswith("list.")


async def test_a_crowd_of_planners_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "PLAN_SECONDS", 0.0)
    planner = PlannerAside()

    answers = await asyncio.gather(*(planner.plan(SEND, 0.8) for _ in range(MAX_WAITING + 2)), return_exceptions=True)

    assert [str(one).partition(".")[0] for one in answers].count("Others plan their sends") == 1
