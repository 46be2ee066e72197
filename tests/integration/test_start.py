"""What an operator reads at the start, where the service starts."""

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.test_start_mistakes import start
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process, configuration, inherited, service

UNUSED = {
    "boto3",
    "duckdb",
    "fastavro",
    "hiredis",
    "httpx",
    "ijson",
    "itsdangerous",
    "lark",
    "liquid",
    "matplotlib",
    "numpy",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "pydantic.v1",
    "redis",
    "rich",
    "s3transfer",
    "service.batch.adapters.redis",
    "service.braze",
    "service.catalog.adapters.dynamodb_source",
    "service.catalog.adapters.s3",
    "service.console",
    "service.doctor",
    "service.events.adapters",
    "service.local_personalize",
    "service.pipeline",
    "service.tracing",
    "service.wiring.events",
    "service.wiring.redis",
    "tomllib",
}
"""What a start must not load with a CSV file as catalogue, without console, Redis, events, spans and filters."""

MODULES_WHEN_READY = """
import asyncio, gc, logging, os, ssl, sys

class Ready(logging.Handler):
    def emit(self, record):
        if record.getMessage() == "Application startup complete.":
            logging.getLogger("uvicorn.error").removeHandler(self)
            asyncio.get_running_loop().call_later(0.1, show)

def show():
    unread = not aiohttp.connector._SSL_CONTEXT_VERIFIED.get_ca_certs()
    reads = "set_default_verify_paths" not in vars(ssl.SSLContext)
    print(gc.isenabled(), gc.get_freeze_count() > 0, unread, reads)
    print(*(name for name, one in sys.modules.items() if one), flush=True)
    os._exit(0)

logging.getLogger("uvicorn.error").addHandler(Ready())
from service.cli import main
import service.cli.serve, aiohttp
main(["serve"])
"""


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


def test_keys_that_could_be_guessed_stop_the_start(tmp_path: Path) -> None:
    """F4."""
    guessed = {"API_KEYS": "a", "ADMIN_KEYS": "b", "EVENT_KEYS": "c"}
    says = "a key has 1 characters; at least 24 are needed, such as `openssl rand -hex 16` prints"
    assert sorted(start(tmp_path, **guessed)) == sorted(f"{name}: {says}" for name in guessed)


def test_a_start_loads_nothing_that_is_not_used(tmp_path: Path) -> None:
    configured = configuration(
        None, CONSOLE_ACCESS="off", HOST="127.0.0.1", PORT=str(free_port()), DATA_DIR=str(tmp_path)
    )
    run = subprocess.run(
        [sys.executable, "-c", MODULES_WHEN_READY],
        cwd=ROOT,
        env=inherited() | configured,
        capture_output=True,
        text=True,
        check=True,
    )
    first, modules = run.stdout.splitlines()[0].split(), run.stdout.splitlines()[1].split()

    # The collector works, on what came after the start. aiohttp read no certificates; later readers get them.
    assert first == ["True"] * 4
    assert "service.personalize.sdk.runtime" in modules
    assert not UNUSED.intersection(modules)
