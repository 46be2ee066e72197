"""A replica is replaced behind a load balancer, and no call notices. `make bench` does it under load."""

import asyncio
import signal
from contextlib import ExitStack

from tests.support.balancer import balancing
from tests.support.calls import Call, assert_all_answered, client, make_call
from tests.support.processes import Process, local_personalize, service
from tests.support.redis import RedisServer
from tests.support.waiting import until

CALLERS = 5


async def test_a_replica_is_replaced_without_a_lost_call_or_a_second_transaction(
    stack: ExitStack, redis_server: RedisServer
) -> None:
    personalize = stack.enter_context(local_personalize(latency_ms=30))

    def new_replica() -> Process:
        return stack.enter_context(
            service(personalize, PERSONALIZE_TPS="100", REDIS_URL=redis_server.url, DRAIN_SECONDS="1")
        )

    old = new_replica()
    calls: list[Call] = []
    over = asyncio.Event()

    async with balancing() as balancer, client() as session:
        # A client that quietly asks again would hide what the restart loses.
        session._retry_connection = False  # aiohttp has no public way
        await balancer.add(old.port)

        async def call() -> None:
            while not over.is_set():
                url = f"http://127.0.0.1:{balancer.port}"
                calls.append(await make_call(session, url, f"user{len(calls) % 200}"))

        callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
        await until(lambda: len(calls) > 50)
        new = await asyncio.to_thread(new_replica)
        await balancer.add(new.port)
        status = await asyncio.to_thread(old.stop)
        balancer.remove(old.port)
        began = len(calls)
        await until(lambda: len(calls) > began + 50)
        over.set()
        await asyncio.gather(*callers)

    assert status == 0
    assert_all_answered(calls)
    assert set(balancer.carried) == {old.port, new.port}
    assert max(personalize.get_json("/_stats")["by_user"].values()) == 1


async def test_while_draining_every_answer_ends_its_connection(stack: ExitStack, personalize: Process) -> None:
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS="50", DRAIN_SECONDS="20"))
    url = f"{replica.url}/recommendations?user_id=user1"
    async with client() as session:
        async with session.get(url) as answer:
            assert "Connection" not in answer.headers
        replica.popen.send_signal(signal.SIGTERM)

        async def is_draining() -> bool:
            async with session.get(f"{replica.url}/readyz") as answer:
                return answer.status == 503 and answer.headers["Connection"] == "close"

        await until(is_draining)
        async with session.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["X-Recommendation-Source"] == "cache"
            assert answer.headers["Connection"] == "close"
    # A second signal does not wait for the drain.
    assert await asyncio.to_thread(replica.stop) == 0
