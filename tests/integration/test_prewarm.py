"""The command as an operator runs it, against real processes; transactions are counted at Personalize's side."""

import asyncio
import csv
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest
from redis import Redis

from service.local_personalize.arns import SIMILAR_ITEMS_ARN
from tests.support.calls import assert_all_answered, call_each
from tests.support.processes import SAMPLE, Command, Process, command, configuration, local_personalize, service
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until

ADMIN_KEY = "an-admin-key-of-the-tests"


@pytest.fixture(scope="module")
def shared_personalize() -> Iterator[Process]:
    with local_personalize(latency_ms=30) as running:
        yield running


@pytest.fixture
def personalize(shared_personalize: Process) -> Process:
    """It has counted nothing yet."""
    shared_personalize.post("/_stats/reset")
    return shared_personalize


def users_file(path: Path, users: list[str]) -> str:
    path.write_text("user_id\r\n" + "\r\n".join(users), "utf-8")
    return str(path)


def transactions(personalize: Process) -> int:
    return int(personalize.get_json("/_stats")["transactions"])


def says(process: Command, beginning: str) -> bool:
    return any(line.startswith(beginning) for line in process.written())


def test_a_prewarm_into_redis_makes_the_send_that_follows_cost_nothing(
    stack: ExitStack, personalize: Process, redis_server: RedisServer, tmp_path: Path
) -> None:
    tps, url = "100", redis_server.url
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS=tps, REDIS_URL=url))
    environment = configuration(personalize, PERSONALIZE_TPS=tps, REDIS_URL=url)
    users = [f"early{number}" for number in range(60)]
    arguments = ["prewarm", "--users", users_file(tmp_path / "users.csv", users)]

    status, words = stack.enter_context(command(arguments, environment)).finish()
    made = personalize.get_json("/_stats")
    calls = asyncio.run(call_each([replica.url], users))

    assert status == 0, words
    assert words[0] == "60 users, 0 have a list, 60 to fetch"
    assert words[-1] == "done: 60 lists fetched, 0 missing"
    assert made["by_user"] == dict.fromkeys(users, 1)
    assert_all_answered(calls)
    assert {call.source for call in calls} == {"cache"}
    assert transactions(personalize) == 60


def test_a_prewarm_waits_while_redis_is_gone_and_goes_on_when_it_is_back(
    stack: ExitStack, personalize: Process, redis_server: RedisServer, tmp_path: Path
) -> None:
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS="20", REDIS_URL=redis_server.url))
    environment = configuration(personalize, PERSONALIZE_TPS="20", REDIS_URL=redis_server.url)
    users = [f"early{number}" for number in range(30)]
    arguments = ["prewarm", "--users", users_file(tmp_path / "users.csv", users), "--spare", "1"]
    process = stack.enter_context(command(arguments, environment))
    wait_until(lambda: transactions(personalize) >= 3)

    redis_server.kill()
    wait_until(lambda: says(process, "waiting: "))
    personalize.post("/_stats/reset")
    live = asyncio.run(call_each([replica.url], [f"live{number}" for number in range(5)], at_once=1))
    while_gone = personalize.get_json("/_stats")["by_user"]
    redis_server.start()
    status, words = process.finish()

    assert_all_answered(live)
    assert not [user for user in while_gone if user.startswith("early")]
    assert says(process, "going on")
    assert status == 0, words
    wait_until(lambda: replica.metric("redis_up") == 1)
    personalize.post("/_stats/reset")
    again = asyncio.run(call_each([replica.url], users))
    assert_all_answered(again)
    # What was fetched before may have gone with the Redis that forgot it; the rest is there.
    assert transactions(personalize) < len(users)


def test_a_prewarm_goes_through_an_embedded_replica_and_on_where_it_was_stopped(
    stack: ExitStack, personalize: Process, tmp_path: Path
) -> None:
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS="40", ADMIN_KEYS=ADMIN_KEY))
    users = [f"early{number}" for number in range(60)]
    path = users_file(tmp_path / "users.csv", [*users, "", "x" * 300])
    arguments = ["prewarm", "--users", path, "--service", replica.url, "--spare", "1"]

    process = stack.enter_context(command(arguments, {"ADMIN_KEY": ADMIN_KEY}))
    wait_until(lambda: transactions(personalize) >= 5)
    process.popen.terminate()
    status, words = process.finish()
    assert status == 143
    assert words[-1].startswith("stopped: ")

    status, words = stack.enter_context(command(arguments, {"ADMIN_KEY": ADMIN_KEY})).finish()
    assert status == 3, words  # a line with an id that cannot be one
    assert "1 line left out, blank: 62" in words
    assert "1 line left out, an id of more than 256 characters: 63" in words
    assert personalize.get_json("/_stats")["by_user"] == dict.fromkeys(users, 1)
    calls = asyncio.run(call_each([replica.url], users))
    assert {call.source for call in calls} == {"cache"}


def test_a_prewarm_of_a_folder_of_exports_asks_for_their_users_and_for_nobody_else(
    stack: ExitStack, personalize: Process, tmp_path: Path
) -> None:
    """H1: each line of an export, e-mail address included, went to Personalize as a user id."""
    export = "".join(f'{{"external_id": "early{n}", "email": "early{n}@shop.example"}}\n' for n in range(20))
    with zipfile.ZipFile(tmp_path / "users-abc.zip", "w") as packed:
        packed.writestr("users.txt", export)
    (tmp_path / "users-def.txt").write_text('{"external_id": "early20"}\n{"braze_id": "b1"}\n')
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS="100", ADMIN_KEYS=ADMIN_KEY))
    arguments = ["prewarm", "--users", str(tmp_path), "--service", replica.url]

    status, words = stack.enter_context(command(arguments, {"ADMIN_KEY": ADMIN_KEY})).finish()

    assert status == 3, words
    assert f"1 line left out, no user id: {tmp_path}/users-def.txt:2" in words
    assert personalize.get_json("/_stats")["by_user"] == {f"early{n}": 1 for n in range(21)}


def test_a_prewarm_stops_when_redis_has_no_room_for_its_lists(
    stack: ExitStack, personalize: Process, redis_server: RedisServer, tmp_path: Path
) -> None:
    with Redis(port=redis_server.port) as client:
        client.config_set("maxmemory", "1mb")
    environment = configuration(personalize, PERSONALIZE_TPS="20", REDIS_URL=redis_server.url)
    arguments = ["prewarm", "--users", users_file(tmp_path / "users.csv", [f"early{n}" for n in range(200)])]

    status, words = stack.enter_context(command(arguments, environment)).finish()
    while words[-1] == "Redis is down":
        # A machine that stands still for longer than a process waits for Redis.
        status, words = stack.enter_context(command(arguments, environment)).finish()

    assert status == 2
    assert words[-1] == "REDIS_URL: no room for more lists; run it again when Redis has more memory"
    assert transactions(personalize) <= 5


def test_items_from_the_catalogue_a_file_and_those_asked_for_lately_are_prewarmed(
    stack: ExitStack, personalize: Process, redis_server: RedisServer, tmp_path: Path
) -> None:
    url, arn, tps = redis_server.url, SIMILAR_ITEMS_ARN, "100"
    environment = configuration(
        personalize, REDIS_URL=url, SIMILAR_ITEMS_CAMPAIGN_ARN=arn, SIMILAR_ITEMS_TPS=tps, LOG_LEVEL="error"
    )
    with (SAMPLE / "items.csv").open(newline="", encoding="utf-8") as rows:
        ids = [row["id"] for row in islice(csv.DictReader(rows), 8)]

    def prewarm(*arguments: str) -> tuple[int, list[str]]:
        return stack.enter_context(command(["prewarm", *arguments], environment)).finish()

    status, words = prewarm("--items", "catalog:3")
    assert status == 0, words
    assert words[-1] == "done: 3 lists fetched, 0 missing"
    assert "3 items, 0 have a list, 3 to fetch" in words
    file = tmp_path / "items.csv"
    file.write_text("\n".join(["Item ID,name", *(f"{one},x" for one in ids[2:5])]))
    assert "3 items, 1 have a list, 2 to fetch" in prewarm("--items", str(file))[1]
    before = transactions(personalize)
    similar = service(personalize, REDIS_URL=url, SIMILAR_ITEMS_CAMPAIGN_ARN=arn, SIMILAR_ITEMS_TPS=tps)
    with similar as replica:
        for one in ids[4:6]:
            address = f"{replica.url}/similar-items?item_id={one}"
            with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  # loopback only
                assert answer.headers["X-Recommendation-Source"] in ("cache", "personalize")
    assert transactions(personalize) == before + 1
    # A replica that stops shares what it has noted.
    status, words = prewarm("--items", "recent")
    assert status == 0, words
    assert "2 items, 2 have a list, 0 to fetch" in words
