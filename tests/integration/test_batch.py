"""`batch load` as an operator runs it: killed while it writes, and from S3."""

import gzip
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from redis import Redis

from service.batch.adapters.files import find
from service.batch.adapters.sqlite import LOADING_NAME
from service.batch.files import BatchFileReader
from service.errors import BatchError
from tests.support.amazon import Amazon
from tests.support.batch_output import Run, catalogue_ids, in_file, in_redis, load, write_batch
from tests.support.processes import SAMPLE, configuration
from tests.support.redis import RedisServer

USERS = 20_000
IDS = catalogue_ids(SAMPLE / "items.csv")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "users.json.out"
    return write_batch(path, (f"u{number}" for number in range(USERS)), IDS)


def assert_went_on(runs: Iterable[Run]) -> None:
    """A whole load, one that was killed while it wrote, and one that went on behind it."""
    whole, killed, resumed = runs
    assert whole.status == 0, whole.words
    assert killed.status == -signal.SIGKILL, killed.words
    assert resumed.status == 0, resumed.words
    assert "went on after" in resumed.words


def test_a_load_into_redis_that_was_killed_goes_on_and_equals_a_whole_one(
    redis_server: RedisServer, output: Path
) -> None:
    environment = configuration(None, REDIS_URL=redis_server.url)
    with Redis(port=redis_server.port) as client:
        whole = load(output, environment)
        expected = in_redis(client)
        client.flushall()
        killed = load(output, environment, kill_when=lambda: client.dbsize() > USERS / 10)
        assert_went_on([whole, killed, load(output, environment)])
        assert in_redis(client) == expected


def test_a_load_into_a_file_that_was_killed_goes_on_and_equals_a_whole_one(output: Path, tmp_path: Path) -> None:
    environment = configuration(None, DATA_DIR=str(tmp_path / "killed"))
    whole = load(output, configuration(None, DATA_DIR=str(tmp_path / "whole")))
    loading = tmp_path / "killed" / LOADING_NAME

    def is_begun() -> bool:
        return loading.exists() and loading.stat().st_size > 200_000

    killed = load(output, environment, kill_when=is_begun)
    assert_went_on([whole, killed, load(output, environment)])
    assert in_file(tmp_path / "killed") == in_file(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["batch-lists.sqlite"]


def test_a_prefix_in_s3_is_loaded_and_gone_on_with(tmp_path: Path, amazon: Amazon) -> None:
    plain = write_batch(tmp_path / "a.json.out", (f"a{number}" for number in range(3_000)), IDS)
    packed = gzip.compress(write_batch(tmp_path / "b", (f"b{number}" for number in range(3_000)), IDS).read_bytes())
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
    done = load("s3://batches/send/", environment)

    assert done.status == 0, done.words
    assert passed_over == 1
    assert len(expected) == 6_000
    assert "6,000 lists active" in done.words
    with pytest.raises(BatchError, match=r"s3://missing/send/: NoSuchBucket"):
        find(["s3://missing/send/"])
