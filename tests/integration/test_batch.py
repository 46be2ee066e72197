"""`batch load` as an operator runs it, killed and beside traffic; the service serves what it loaded."""

import asyncio
import gzip
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from bench.sends import fleet, run_send, send
from service.batch.adapters.files import find
from service.batch.files import BatchFileReader
from service.errors import BatchError
from tests.support.amazon import Amazon
from tests.support.batch_output import catalogue_ids, in_file, in_redis, load, write_batch
from tests.support.calls import Call, assert_all_answered, most_in_a_second
from tests.support.processes import ROOT, SAMPLE, configuration, local_personalize, service
from tests.support.redis import RedisServer

USERS = 40_000


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "users.json.out"
    return write_batch(path, (f"u{number}" for number in range(USERS)), catalogue_ids(SAMPLE / "items.csv"))


def load_url(url: str, environment: dict[str, str], folder: Path) -> str:
    """What the command says to an address that is no path."""
    errors = str(folder / "errors.jsonl")
    done = subprocess.run(
        [sys.executable, "-m", "service", "batch", "load", url, "--errors", errors],
        env={"PYTHONPATH": str(ROOT), **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def killed_twice(path: Path, environment: dict[str, str], whole_seconds: float) -> bool:
    """Kill two loads at random points, then load; whether the last one had anything to go on with."""
    for _ in range(2):
        load(path, environment, kill_after=random.uniform(0.3, 0.8) * whole_seconds)
    resumed = load(path, environment)
    assert resumed.status == 0, resumed.words
    return "went on after" in resumed.words


def test_a_load_into_redis_killed_twice_equals_a_whole_one(stack: ExitStack, output: Path) -> None:
    redis = stack.enter_context(RedisServer())
    url = redis.url
    with Redis.from_url(url) as client:
        whole = load(output, configuration(None, REDIS_URL=url))
        assert whole.status == 0, whole.words
        expected = in_redis(client)
        client.flushall()
        killed_twice(output, configuration(None, REDIS_URL=url), whole.seconds)
        assert in_redis(client) == expected


def test_a_load_into_a_file_killed_twice_equals_a_whole_one(output: Path, tmp_path: Path) -> None:
    whole = load(output, configuration(None, DATA_DIR=str(tmp_path / "whole")))
    assert whole.status == 0, whole.words
    killed_twice(output, configuration(None, DATA_DIR=str(tmp_path / "killed")), whole.seconds)
    assert in_file(tmp_path / "killed") == in_file(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["batch-lists.sqlite"]


@pytest.mark.parametrize("shared", [True, False])
def test_a_reload_under_traffic_shows_nobody_a_mix(stack: ExitStack, tmp_path: Path, *, shared: bool) -> None:
    ids = catalogue_ids(SAMPLE / "items.csv")
    old, new = set(ids[: len(ids) // 2]), set(ids[len(ids) // 2 :])
    users = [f"u{number}" for number in range(6_000)]
    first = write_batch(tmp_path / "first.out", users, sorted(old))
    second = write_batch(tmp_path / "second.out", users, sorted(new), seed=2)
    if shared:
        personalize, replicas, redis = fleet(stack, 1, replicas=2)
        environment = configuration(personalize, REDIS_URL=redis.url)
    else:
        personalize = stack.enter_context(local_personalize(tps=1, latency_ms=30))
        environment = configuration(personalize, DATA_DIR=str(tmp_path / "data"))
        replicas = [stack.enter_context(service(personalize, PERSONALIZE_TPS="1", DATA_DIR=str(tmp_path / "data")))]
    assert load(first, environment).status == 0
    reloaded: list[float] = []

    def reload() -> None:
        run = load(second, environment)
        assert run.status == 0, run.words
        reloaded.append(time.monotonic())

    async def both() -> list[Call]:
        urls = [one.url for one in replicas]
        reloading = asyncio.create_task(asyncio.to_thread(reload))
        calls: list[Call] = []
        for start in range(0, len(users), 200):
            is_last = reloading.done()
            calls += await send(urls, users[start : start + 200], 100, 2)
            if is_last:
                break
        await reloading
        return calls

    calls = asyncio.run(both())

    assert_all_answered(calls)
    shown = [call for call in calls if call.source == "batch"]
    assert [call for call in shown if not (set(call.ids) <= old or set(call.ids) <= new)] == []
    by_user: dict[str, set[tuple[str, ...]]] = {}
    for call in shown:
        by_user.setdefault(call.user, set()).add(call.ids)
    assert {user for user, lists in by_user.items() if len(lists) > 1} == set()
    later = [call for call in shown if call.began > reloaded[0]]
    assert any(set(call.ids) <= old for call in shown)
    assert later
    assert all(set(call.ids) <= new for call in later)


def test_a_send_far_above_the_tps_to_users_of_a_batch_is_personalised_throughout(
    stack: ExitStack, tmp_path: Path
) -> None:
    tps, per_second = 5, 50
    users = [f"u{number}" for number in range(6 * per_second)]
    output = write_batch(tmp_path / "users.out", users, catalogue_ids(SAMPLE / "items.csv"))
    personalize = stack.enter_context(local_personalize(tps=tps, latency_ms=30))
    data_dir = str(tmp_path / "data")
    assert load(output, configuration(personalize, DATA_DIR=data_dir)).status == 0
    replica = stack.enter_context(service(personalize, PERSONALIZE_TPS=str(tps), DATA_DIR=data_dir))

    done = run_send(personalize, [replica], users, per_second)

    assert len(done.calls) == 3 * len(users)
    assert_all_answered(done.calls)
    assert {call.source for call in done.calls} == {"personalize", "batch"}
    assert done.stats["throttled"] == 0
    assert most_in_a_second(done.arrivals) <= tps + 1


def test_a_prefix_in_s3_is_loaded_and_gone_on_with(tmp_path: Path, amazon: Amazon) -> None:
    ids = catalogue_ids(SAMPLE / "items.csv")
    plain = write_batch(tmp_path / "a.json.out", (f"a{number}" for number in range(3_000)), ids)
    packed = gzip.compress(write_batch(tmp_path / "b", (f"b{number}" for number in range(3_000)), ids).read_bytes())
    client = amazon.client("s3")
    client.create_bucket(Bucket="batches")
    for name, content in (("a.json.out", plain.read_bytes()), ("b.json.out.gz", packed), ("_manifest", b"{}")):
        client.put_object(Bucket="batches", Key=f"send/{name}", Body=content)
    client.close()
    files, passed_over = find(["s3://batches/send/"])
    expected: list[bytes] = []
    for file in files:
        with BatchFileReader(file, 0) as reading:
            while line := reading.readline(1 << 20):
                expected.append(line)

    for file, name in zip(files, ("a.json.out", "b.json.out.gz"), strict=True):
        lines = expected[:3_000] if name.startswith("a") else expected[3_000:]
        with BatchFileReader(file, sum(map(len, lines[:1_234]))) as reading:
            assert reading.readline(1 << 20) == lines[1_234]

    environment = configuration(None, DATA_DIR=str(tmp_path / "data")) | amazon.environment()
    words = load_url("s3://batches/send/", environment, tmp_path)

    assert passed_over == 1
    assert len(expected) == 6_000
    assert "6,000 lists active" in words
    with pytest.raises(BatchError, match=r"s3://missing/send/: NoSuchBucket"):
        find(["s3://missing/send/"])
