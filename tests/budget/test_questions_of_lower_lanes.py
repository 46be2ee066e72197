"""When the queue asks the governor for the lower lanes, which through Redis costs a round trip each time."""

import asyncio

import pytest

from service.budget.ports import Lane
from tests.budget.test_slots_left_behind import Scene, play


def test_for_what_waits_in_the_background_there_is_one_question_for_each_slot_half_a_lead_before_it() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("first")
        await scene.until(0.001)
        for number in range(3):
            scene.call(f"stale{number}", Lane.STALE)
        await scene.until(2.0)

    scene = play(scenario, tps=5.0)
    assert [scene.got[f"stale{number}"] for number in range(3)] == pytest.approx([0.2, 0.4, 0.6])
    # So many slots are asked for as there are callers, but no more than can begin while two questions are under way.
    asked = [(at, slots) for at, lane, slots in scene.governor.questions if lane is Lane.STALE]
    assert [at for at, _ in asked] == pytest.approx([0.001, 0.1975, 0.3975, 0.5975], abs=1e-5)
    assert [slots for _, slots in asked] == [2, 2, 2, 1]


def test_two_who_come_in_one_moment_are_asked_for_together() -> None:
    async def scenario(scene: Scene) -> None:
        scene.call("one", Lane.PREWARM)
        # The next one comes while the question for the first is about to be asked.
        await asyncio.sleep(0)
        scene.call("other", Lane.PREWARM)
        await scene.until(1.0)

    scene = play(scenario, tps=100.0)
    assert scene.governor.questions == [(0.0, Lane.PREWARM, 2), (0.0075, Lane.PREWARM, 1)]
    assert scene.got == pytest.approx({"one": 0.0, "other": 0.01})


def test_while_slots_are_reserved_for_all_who_wait_one_more_is_asked_for_at_once() -> None:
    async def scenario(scene: Scene) -> None:
        for number in range(5):
            scene.call(f"elsewhere{number}", replica=1)
        await scene.until(0.0011)
        scene.call("one", Lane.STALE)
        await scene.until(0.004)
        scene.call("other", Lane.STALE)
        await scene.until(0.0045)
        scene.call("elsewhere", replica=1)
        await scene.until(0.1)

    got = play(scenario, tps=1000.0, replicas=2).got
    assert [got[name] for name in ("one", "other", "elsewhere")] == pytest.approx([0.005, 0.006, 0.007])


def test_a_slot_is_asked_for_again_when_a_caller_with_a_stale_list_has_had_it() -> None:
    async def scenario(scene: Scene) -> None:
        for number in range(5):
            scene.call(f"elsewhere{number}", replica=1)
        await scene.until(0.0011)
        scene.call("background", Lane.STALE, within=0.1)
        await scene.until(0.004)
        scene.call("caller", Lane.STALE, within=0.0)
        await scene.until(0.2)

    got = play(scenario, tps=1000.0, replicas=2).got
    assert [got["caller"], got["background"]] == pytest.approx([0.005, 0.006])
