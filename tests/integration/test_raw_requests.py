"""Random bytes on the wire, from clients that break off, dawdle and do not wait for answers."""

import random
import socket
import struct
from functools import partial
from pathlib import Path

from tests.support.fuzzing import ADMIN_KEY, fuzz, is_fault, raw_request
from tests.support.processes import Process, local_personalize, service
from tests.support.waiting import wait_until

REQUESTS = 1_500


def test_random_raw_requests_cause_no_fault_and_keep_no_normal_caller_waiting(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    with (
        local_personalize() as personalize,
        service(personalize, PERSONALIZE_TPS="200", ADMIN_KEYS=ADMIN_KEY.decode(), DATA_DIR=str(tmp_path)) as replica,
    ):
        done = fuzz(replica, REQUESTS, seed=seed)
        assert replica.is_running
        assert replica.get_json("/readyz") == {"status": "ready"}
        assert replica.stop() == 0
        assert [line for line in replica.written() if is_fault(line)] == [], seed
        assert any("stopped" in line for line in replica.written())

    assert done.requests == REQUESTS
    assert done.failed == [], seed
    assert len(done.normal_ms) > 50
    assert done.normal_failed == 0, seed
    # The requests reached what they are about: answers, refusals of the parser, of the limits and of the routes.
    assert {200, 400, 401, 404, 405, 422, 431} <= done.statuses.keys(), seed


def test_a_client_that_goes_with_pipelined_requests_unanswered_costs_no_fault() -> None:
    with local_personalize(latency_ms=300) as personalize, service(personalize, PERSONALIZE_TPS="50") as replica:
        for number in range(10):
            with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as connection:
                for part in "abc":
                    target = f"/recommendations?user_id={part}{number}"
                    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                wait_until(partial(has_begun, personalize, number + 1))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: replica.metric("flights_open") == 0)
        assert replica.get_json("/readyz") == {"status": "ready"}
        assert replica.stop() == 0
        assert [line for line in replica.written() if is_fault(line)] == []


def has_begun(personalize: Process, transactions: int) -> bool:
    return bool(personalize.get_json("/_stats")["transactions"] >= transactions)


def test_a_seed_makes_the_same_requests_again() -> None:
    one, same, other = ([raw_request(dice) for _ in range(50)] for dice in map(random.Random, (1, 1, 2)))

    assert one == same
    assert one != other
