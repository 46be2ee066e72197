"""`batch load` as an operator runs it: killed while it writes, and from S3."""

import gzip
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from service.batch.adapters.files import find
from service.batch.adapters.sqlite import LOADING_NAME
from service.batch.files import BatchFileReader
from service.cli import main
from service.errors import BatchError
from tests.support.amazon import Amazon
from tests.support.batch_output import Run, catalogue_ids, in_file, in_redis, load, write_batch
from tests.support.processes import SAMPLE, configuration
from tests.support.redis import RedisServer

USERS = 10_000
IDS = catalogue_ids(SAMPLE / "items.csv")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "users.json.out"
    return write_batch(path, (f"u{number}" for number in range(USERS)), IDS)


def loaded(url: Path | str, environment: Mapping[str, str]) -> str:
    """Run `batch load` to its end, in this process; what it says."""
    done = CliRunner(env=environment).invoke(main, ["batch", "load", str(url)])
    assert done.exit_code == 0, done.output
    return done.output


def assert_went_on(killed: Run, resumed: str) -> None:
    """A load that was killed while it wrote, and one that went on behind it."""
    assert killed.status == -signal.SIGKILL, killed.words
    assert "went on after" in resumed


@pytest.fixture(autouse=True)
def away_from_a_developers_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_load_into_redis_that_was_killed_goes_on_and_equals_a_whole_one(
    redis_server: RedisServer, output: Path
) -> None:
    environment = configuration(None, REDIS_URL=redis_server.url)
    with Redis(port=redis_server.port) as client:
        loaded(output, environment)
        expected = in_redis(client)
        client.flushall()
        killed = load(output, environment, kill_when=lambda: client.dbsize() > USERS / 10)
        assert_went_on(killed, loaded(output, environment))
        assert in_redis(client) == expected


def test_a_load_into_a_file_that_was_killed_goes_on_and_equals_a_whole_one(output: Path, tmp_path: Path) -> None:
    environment = configuration(None, DATA_DIR=str(tmp_path / "killed"))
    loaded(output, configuration(None, DATA_DIR=str(tmp_path / "whole")))
    loading = tmp_path / "killed" / LOADING_NAME

    def is_begun() -> bool:
        return loading.exists() and loading.stat().st_size > 200_000

    killed = load(output, environment, kill_when=is_begun)
    assert_went_on(killed, loaded(output, environment))
    assert in_file(tmp_path / "killed") == in_file(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["batch-lists.sqlite"]


def test_a_prefix_in_s3_is_loaded_and_gone_on_with(tmp_path: Path, amazon: Amazon) -> None:
    plain = write_batch(tmp_path / "a.json.out", (f"a{number}" for number in range(2_000)), IDS)
    packed = gzip.compress(write_batch(tmp_path / "b", (f"b{number}" for number in range(2_000)), IDS).read_bytes())
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
        lines = expected[:2_000] if name.startswith("a") else expected[2_000:]
        with BatchFileReader(file, sum(map(len, lines[:1_234]))) as reading:
            assert reading.readline(1 << 20) == lines[1_234]

    environment = configuration(None, DATA_DIR=str(tmp_path / "data")) | amazon.environment()
    said = loaded("s3://batches/send/", environment)

    assert passed_over == 1
    assert len(expected) == 4_000
    assert "4,000 lists active" in said
    with pytest.raises(BatchError, match=r"s3://missing/send/: NoSuchBucket"):
        find(["s3://missing/send/"])
