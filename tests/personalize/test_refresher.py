"""Lists that wait for a refresh."""

import asyncio

from service.models import ListRequest
from service.personalize.refresher import RefreshQueue
from tests.support.replica import key_of, open_replica
from tests.support.virtual_time import run_virtual


def test_lists_wait_once_each_the_longest_first_and_no_more_than_allowed() -> None:
    queue = RefreshQueue[str, int](3)
    assert [queue.add(key, number) for number, key in enumerate("abac")] == [True] * 4
    assert [queue.add(key, 9) for key in "da"] == [False, False]
    assert (list(queue), len(queue)) == (["a", "b", "c"], 3)
    assert queue.take() == ("a", 0)
    queue.forget("b")
    queue.forget("unknown")
    assert queue.add("d", 4)
    assert [queue.take(), queue.take()] == [("c", 3), ("d", 4)]
    assert not len(queue)


def test_at_the_end_nobody_waits_for_the_slots_of_refreshes() -> None:
    async def run() -> None:
        async with open_replica(tps=0.01) as replica:
            await replica.ask()
            before = asyncio.all_tasks()
            for user in ("ann", "bob"):
                replica.refresher.add(key_of(user), ListRequest(user))
            await asyncio.sleep(1.0)
            began = replica.clock.monotonic()
            await replica.refresher.close()
            assert replica.clock.monotonic() == began
            # The budget's own goes on until that closes.
            assert {task.get_name() for task in asyncio.all_tasks() - before} == {"slots-of-lower-lanes"}
            assert replica.personalize.transactions.total() == 1

    run_virtual(run())
