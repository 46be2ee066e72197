"""Every promise holds in worlds that a seed makes; `python -m tests.simulation --seeds 1000` plays more of them."""

import pytest

from tests.simulation.world import OF_PERSONALIZE, OF_REDIS, OF_REPLICAS, Plan, play


# The same seeds each time; new ones are for the command.
@pytest.mark.parametrize("seed", range(6))
def test_every_promise_holds_in_any_world(seed: int) -> None:
    """K1 to K6, J2, J3, J9: answers in time and full, one list a message, one transaction a list, never too many."""
    assert play(seed).broken == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_plays_the_same_again(seed: int) -> None:
    first, second = play(seed), play(seed)
    assert first.personalize.seen == second.personalize.seen
    assert first.sources == second.sources


def test_seeds_bring_every_kind_of_trouble_and_none() -> None:
    plans = [Plan.of(seed) for seed in range(200)]
    kinds = {trouble.what for plan in plans for trouble in plan.troubles}
    assert kinds == {*OF_PERSONALIZE, *OF_REPLICAS, *OF_REDIS}
    assert any(not plan.troubles for plan in plans)
