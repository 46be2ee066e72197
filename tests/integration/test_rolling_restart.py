"""A rolling restart as in the benchmarks, cut short."""

import asyncio
import signal
from contextlib import ExitStack

from bench.rolling import restart_under_load
from tests.support.calls import client
from tests.support.processes import Process, service


async def test_a_rolling_restart_of_three_replicas_loses_no_call() -> None:
    done = await restart_under_load(per_second=200, users=300, before_seconds=0.5, drain_seconds=1)

    assert done.lost == []
    assert done.exits == [0, 0, 0]
    assert done.most_transactions == 1
    # The old ones were called until they went, and the new ones took over.
    assert len(done.carried) > 3
    assert len(done.calls) > 600


async def test_while_draining_every_answer_ends_its_connection(stack: ExitStack, personalize: Process) -> None:
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS="50", DRAIN_SECONDS="5"))
    url = f"{replica.url}/recommendations?user_id=user1"
    async with client() as session:
        async with session.get(url) as answer:
            assert "Connection" not in answer.headers
        replica.popen.send_signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            while True:
                async with session.get(f"{replica.url}/readyz") as answer:
                    if answer.status == 503:
                        break
        assert answer.headers["Connection"] == "close"
        async with session.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["X-Recommendation-Source"] == "cache"
            assert answer.headers["Connection"] == "close"
    # A second signal does not wait for the drain.
    assert await asyncio.to_thread(replica.stop) == 0
