"""What an operator reads at the start, where the service starts."""

import json
from pathlib import Path

import pytest

from tests.integration.test_start_mistakes import start
from tests.support.processes import Process, service


def event(process: Process, name: str) -> dict[str, object]:
    """The fields of a log line."""
    [found] = [line for line in map(json.loads, process.written()) if line["event"] == name]
    return dict(found)


def test_the_start_says_what_is_used_and_what_is_not() -> None:
    """F4: it said ready, whatever was wrong."""
    with service(
        None,
        PERSONALISE_TPS="20",
        CACHE_FRESH_SECOND="60",
        PERSONALIZE_TPS="7",
        DATA_DIR="/proc/nowhere",
        ADMIN_KEYS="an-admin-key-of-the-tests",
        SIMILAR_ITEMS_CAMPAIGN_ARN="arn:aws:personalize:us-east-1:000000000000:campaign/similar",
        SIMILAR_ITEMS_TPS="2.5",
    ) as replica:
        ready = event(replica, "ready")
        unusable = event(replica, "data_dir_unusable")
        unknown = {
            line["variable"]: line["remedy"]
            for line in map(json.loads, replica.written())
            if line["event"] == "setting_unknown"
        }
        text = "\n".join(replica.written())

    assert ready["placements"] == {"for-you": "7 TPS", "similar": "2.5 TPS"}
    assert (ready["items"], ready["redis"], ready["version"]) == (60, None, "0.1.0")
    assert unknown == {"PERSONALISE_TPS": "write PERSONALIZE_TPS", "CACHE_FRESH_SECOND": "write CACHE_FRESH_SECONDS"}
    assert unusable["data_dir"] == "/proc/nowhere"
    assert "DATA_DIR" in str(unusable["remedy"])
    assert "an-admin-key-of-the-tests" not in text


def test_the_ready_line_names_redis_without_its_password() -> None:
    """F4."""
    with service(None, REDIS_URL="redis://user:hush-hush@127.0.0.1:1/3") as replica:
        assert event(replica, "ready")["redis"] == "127.0.0.1:1"
        assert "hush-hush" not in "\n".join(replica.written())


def test_a_second_embedded_replica_on_a_folder_ends_with_one_line(tmp_path: Path) -> None:
    """I9: and one whose process was killed holds nothing up."""
    with service(None, DATA_DIR=str(tmp_path / "data")) as first:
        [line] = start(tmp_path, DATA_DIR=str(tmp_path / "data"))
        assert line.startswith(f"DATA_DIR: another embedded replica uses {tmp_path}/data.")
        first.kill()
        with service(None, DATA_DIR=str(tmp_path / "data")):
            pass


@pytest.mark.parametrize("name", ["API_KEYS", "ADMIN_KEYS", "EVENT_KEYS"])
def test_a_key_that_could_be_guessed_stops_the_start(tmp_path: Path, name: str) -> None:
    """F4."""
    [line] = start(tmp_path, **{name: "a"})
    assert line == f"{name}: a key has 1 characters; at least 24 are needed, such as `openssl rand -hex 16` prints"
