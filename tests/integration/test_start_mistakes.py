"""What an operator sees when the service cannot start."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from service.api.lifecycle import Lifecycle
from service.server import SERVER, DrainingServer
from tests.support.amazon import DENIED, Amazon
from tests.support.processes import CAMPAIGN_ARN, ROOT, SAMPLE, outcome


def start(directory: Path, **settings: str) -> list[str]:
    """Lines on standard error of a start that fails as a wrong configuration does; no log events among them."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "ALLOW_ANONYMOUS": "true",
        "AWS_REGION": "us-east-1",
        "PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN_ARN,
        "CATALOG_URL": f"file://{SAMPLE / 'items.csv'}",
    }
    # Away from a developer's .env.
    status, stdout, stderr = outcome(["serve"], environment | settings, folder=directory)
    assert status == 2, stderr
    assert "Traceback" not in stdout + stderr
    return [line for line in stderr.splitlines() if not line.startswith("{")]


def test_every_wrong_setting_is_one_line_that_names_it(tmp_path: Path) -> None:
    wrong = {
        "PORT": "99999",
        "PERSONALIZE_TPS": "0",
        "PERSONALIZE_CAMPAIGN_ARN": "my-campaign",
        "CATALOG_URL": "ftp://shop/items.csv",
        "REDIS_URL": "localhost:6379",
        "LOG_LEVEL": "loud",
        "CACHE_MAX_MB": "much",
    }

    lines = start(tmp_path, **wrong)

    assert {line.partition(":")[0] for line in lines} == wrong.keys()
    assert len(lines) == len(wrong)


def test_a_catalogue_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    [line] = start(tmp_path, CATALOG_URL=f"file://{tmp_path}/nowhere.csv")

    assert "nowhere.csv" in line


def test_an_object_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    with Amazon() as amazon:
        amazon.refused["GET"] = DENIED
        lines = start(tmp_path, CATALOG_URL="s3://shop/items.csv", **amazon.environment())

    assert lines == ["s3://shop/items.csv: AccessDenied (403): Access Denied"]


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        [line] = start(tmp_path, PORT=port)

    assert port in line
    assert line.startswith("HOST, PORT:")


async def test_the_second_of_two_that_listen_at_the_same_moment_stops_without_a_traceback() -> None:
    """H5: both can bind, and only one can listen."""
    with ExitStack() as sockets:
        first, second = (sockets.enter_context(socket.socket()) for _ in range(2))
        for one in (first, second):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(first.getsockname() if one is second else ("127.0.0.1", 0))
        first.listen()
        server = DrainingServer(uvicorn.Config(FastAPI(), lifespan="off", **SERVER), Lifecycle(), drain_seconds=0)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)

        await server.startup([second])

        assert server.should_exit
        assert server.listen_error is not None
