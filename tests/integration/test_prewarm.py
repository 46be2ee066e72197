"""The command as an operator runs it, against real processes; transactions are counted at Personalize's side."""

import time
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from bench.prewarm import finish, wait_for_transactions
from bench.sends import fleet, run_send
from tests.support.calls import assert_all_answered, most_in_a_second
from tests.support.processes import command, configuration, local_personalize, service
from tests.support.redis import RedisServer


def users_file(path: Path, users: list[str]) -> str:
    path.write_text("user_id\r\n" + "\r\n".join(users), "utf-8")
    return str(path)


def test_a_prewarm_beside_a_live_send_makes_the_next_send_cost_nothing(stack: ExitStack, tmp_path: Path) -> None:
    tps, per_second, seconds = 20, 6, 5
    personalize, replicas, redis = fleet(stack, tps, replicas=2)
    users = [f"ahead{number}" for number in range(80)]
    environment = configuration(personalize, PERSONALIZE_TPS=str(tps), REDIS_URL=redis.url)
    arguments = ["prewarm", "--users", users_file(tmp_path / "users.csv", users)]

    process = stack.enter_context(command(arguments, environment))
    wait_for_transactions(personalize, 1)
    live = run_send(personalize, replicas, [f"live{number}" for number in range(seconds * per_second)], per_second)
    status, words = finish(process, 30)
    later = run_send(personalize, replicas, users, 50)

    assert_all_answered([*live.calls, *later.calls])
    assert {call.source for call in live.calls} <= {"personalize", "cache"}
    assert status == 0, words
    assert words[0] == "80 users, 0 have a list, 80 to fetch"
    assert words[-1] == "done: 80 lists fetched, 0 missing"
    assert live.stats["throttled"] == 0
    assert max(live.stats["by_user"].values()) == 1
    assert most_in_a_second(live.arrivals) <= 1.2 * tps + 1
    # The prewarm uses what the live send leaves, as far as its share of 80 % goes.
    assert live.stats["transactions"] >= 0.8 * tps * seconds
    assert later.stats["transactions"] == 0
    assert {call.source for call in later.calls} == {"cache"}


def test_a_prewarm_waits_while_redis_is_gone_and_is_no_replica(stack: ExitStack, tmp_path: Path) -> None:
    personalize, replicas, redis = fleet(stack, tps=10, replicas=1)
    users = [f"ahead{number}" for number in range(40)]
    environment = configuration(personalize, PERSONALIZE_TPS="10", REDIS_URL=redis.url)
    arguments = ["prewarm", "--users", users_file(tmp_path / "users.csv", users), "--spare", "1"]
    process = stack.enter_context(command(arguments, environment))
    wait_for_transactions(personalize, 5)

    redis.kill()
    time.sleep(1.0)  # what was begun has ended
    personalize.post("/_stats/reset")
    # The replica has the whole budget to itself: the first of its own slots begins after the deadline, then 0.1 s
    # apart. A second replica would leave it only half of them.
    live = run_send(personalize, replicas, [f"live{number}" for number in range(40)], 10, calls_each=1)
    while_gone = personalize.get_json("/_stats")["by_user"]
    assert not [user for user in while_gone if user.startswith("ahead")]
    last_two_seconds = [one for one in live.arrivals if one > max(live.arrivals) - 2.0]
    assert len(last_two_seconds) >= 14

    redis.start()
    status, words = finish(process, 40)
    assert status == 0, words
    assert replicas[0].metric("redis_up") == 1
    again = run_send(personalize, replicas, users, 50, calls_each=1)
    # What was fetched before went with the Redis that forgot it; the rest is there.
    assert again.stats["transactions"] <= 12


def test_a_prewarm_goes_through_a_replica_that_is_alone_and_on_where_it_was_stopped(
    stack: ExitStack, tmp_path: Path
) -> None:
    personalize = stack.enter_context(local_personalize(tps=20, latency_ms=30))
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS="20", ADMIN_KEYS="an-admin-key-of-the-tests"))
    users = [f"ahead{number}" for number in range(60)]
    path = users_file(tmp_path / "users.csv", [*users, "", "x" * 300])
    arguments = ["prewarm", "--users", path, "--service", replica.url, "--spare", "1"]
    environment = {"ADMIN_KEY": "an-admin-key-of-the-tests"}

    process = stack.enter_context(command(arguments, environment))
    wait_for_transactions(personalize, 10)
    process.terminate()
    status, words = finish(process, 10)
    assert status == 143
    assert words[-1].startswith("stopped: ")

    status, words = finish(stack.enter_context(command(arguments, environment)), 30)
    assert status == 3, words  # a line with an id that cannot be one
    assert "1 line left out, blank: 62" in words
    assert "1 line left out, an id of more than 256 characters: 63" in words
    stats = personalize.get_json("/_stats")
    assert stats["transactions"] == 60
    assert max(stats["by_user"].values()) == 1

    later = run_send(personalize, [replica], users, 50, calls_each=1)
    assert later.stats["transactions"] == 0


def test_a_prewarm_stops_when_redis_has_no_room_for_its_lists(stack: ExitStack, tmp_path: Path) -> None:
    personalize = stack.enter_context(local_personalize(tps=20, latency_ms=30))
    redis = stack.enter_context(RedisServer())
    with Redis(port=redis.port) as client:
        client.config_set("maxmemory", "1mb")
    environment = configuration(personalize, PERSONALIZE_TPS="20", REDIS_URL=redis.url)
    arguments = ["prewarm", "--users", users_file(tmp_path / "users.csv", [f"ahead{n}" for n in range(200)])]

    status, words = finish(stack.enter_context(command(arguments, environment)), 30)

    assert status == 2
    assert words[-1] == "REDIS_URL: no room for more lists; run it again when Redis has more memory"
    assert personalize.get_json("/_stats")["transactions"] <= 5
