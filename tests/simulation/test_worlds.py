"""Every promise holds in worlds that a seed makes; `make worlds` plays more of them."""

import logging
import tomllib
from pathlib import Path
from typing import Final

import pytest
import structlog

import service
from tests.simulation.plan import APART, KINDS, OF_BOARDED, Plan
from tests.simulation.world import play

pytestmark = pytest.mark.long

SEEDS: Final = 10
"""`make worlds` plays those that follow, and new ones."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Worlds are full of warnings, and to write them takes as long as to play."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def test_every_promise_holds_in_any_world() -> None:
    """K1 to K8, J1 to J4, J8, J9, in 10 minutes of three replicas."""
    broken = {seed: world.broken for seed in range(SEEDS) if (world := play(Plan.of(seed))).broken}
    assert broken == {}, "`python -m tests.simulation --seeds 1 --first SEED` shows the fewest happenings that do it"


def test_a_seed_plays_the_same_again() -> None:
    worlds = [play(Plan.of(11)) for _ in range(2)]
    assert worlds[0].personalize.seen == worlds[1].personalize.seen
    assert worlds[0].sources == worlds[1].sources


def test_a_fault_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that could not fail would prove nothing; `--faults` tries many."""
    monkeypatch.setattr("service.lists.freshness.Freshness.fresh", lambda *_: True)
    assert any("a fresh list is fresh" in one for seed in range(4) for one in play(Plan.of(seed)).broken)


def test_seeds_bring_every_kind_of_happening_and_none() -> None:
    plans = [Plan.of(seed) for seed in range(300)]
    assert {one.what for plan in plans for one in plan.happenings} == {
        "burst",
        APART,
        *(one for kinds in KINDS for one in kinds),
        *OF_BOARDED,
    }
    assert any({one.what for one in plan.happenings} == {"burst"} for plan in plans)
    assert any(plan.shop for plan in plans)


def test_faults_say_where_they_are() -> None:
    """Whether each still applies is found by playing it."""
    faults = tomllib.loads(Path(__file__).with_name("faults.toml").read_text("utf-8"))
    root = Path(service.__file__).parents[1]
    for fault in faults.values():
        assert fault["what"]
        assert all((root / change["file"]).is_file() for change in fault["changes"])
