"""The events of a replica that is killed again and again; `python -m bench.events_kill` does it on a larger scale."""

import pytest

from bench.events_kill import kill_at_random


@pytest.mark.processes
async def test_every_accepted_event_arrives_although_its_replica_is_killed_and_personalize_fails() -> None:
    # Three starts of a replica take most of its ten seconds.
    course = await kill_at_random(300, 3, embedded=True, fault_seconds=0.4, pause_seconds=0.5)
    assert (len(course.accepted), course.missing, course.kills) == (300, set(), 3)
    assert course.arrived.keys() == course.accepted
    assert all(course.promises().values()), course.promises()
