"""Worlds as jobs of other processes, and what comes back of each."""

import logging
import time
from collections import Counter

import structlog

from tests.simulation.plan import Plan
from tests.simulation.world import play

Result = tuple[int, list[str], Counter[str], float]
"""Seed, what broke, answers by source, and CPU seconds."""


def be_quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def play_job(job: tuple[int, int, float]) -> Result:
    seed, replicas, seconds = job
    began = time.process_time()
    plan = Plan.of(seed, replicas, seconds)
    broken, sources = _played(plan, seconds)
    spent = time.process_time() - began
    if broken:
        fewest = _shrunk(plan, seconds)
        enough = ", ".join(f"{one.what} {one.seconds:g} s at {one.at:.2f}" for one in fewest.happenings)
        about = f"tps {plan.tps:g}, {plan.users} users, deadline {plan.deadline_seconds:g} s, hurried: {plan.hurried}"
        return seed, [*broken[:5], f"{about}; enough of it: {enough}"], sources, spent
    return seed, [], sources, spent


def _played(plan: Plan, seconds: float) -> tuple[list[str], Counter[str]]:
    try:
        world = play(plan, seconds)
    except AssertionError as error:
        # A task was left, or nothing was left that could ever happen.
        return [f"{type(error).__name__}: {error}"[:300]], Counter()
    return world.broken, world.sources


def _shrunk(plan: Plan, seconds: float) -> Plan:
    """The plan with as few happenings as still break a promise, one left out after another."""
    number = 0
    while number < len(plan.happenings):
        fewer = plan.without(number)
        if _played(fewer, seconds)[0]:
            plan = fewer
        else:
            number += 1
    return plan
