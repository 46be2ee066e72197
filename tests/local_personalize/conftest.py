"""A shop of two tastes, small enough to reason about, and the local Personalize over it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.config import Config

from service.local_personalize.data import read_dataset
from service.local_personalize.learn import CoVisitationModel, learn
from service.local_personalize.protocol import CAMPAIGN_ARN
from service.local_personalize.runtime_api import RuntimeApi, _listen, _server_config, create_app

TENTS = ("tent", "stove", "lamp", "rope")
POTS = ("pot", "pan", "ladle", "whisk")


def write_interactions(directory: Path) -> None:
    """Campers visit camping things and cooks kitchen things; everyone has seen the mug."""
    lines = ["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE"]
    for kind, things in (("camper", TENTS), ("cook", POTS)):
        for number in range(4):
            visited = [thing for place, thing in enumerate(things) if place != number]
            lines += [
                f"{kind}{number},{item},{1_700_000_000 + step * 3600},View"
                for step, item in enumerate(["mug", *visited])
            ]
    (directory / "interactions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shop")
    write_interactions(directory)
    ids = "".join(f"{item},{len(item)}\n" for item in (*TENTS, *POTS, "mug", "dusty"))
    (directory / "items.csv").write_text("ITEM_ID,price\n" + ids, encoding="utf-8")
    (directory / "users.csv").write_text("USER_ID,AGE\ncamper0,31\n", encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def model(shop: Path) -> CoVisitationModel:
    return learn(read_dataset(shop))


@dataclass(frozen=True, kw_only=True)
class Running:
    """A local Personalize that listens, and the ways to talk to it."""

    url: str
    sdk: Any
    """The real boto3 client, without retries."""
    http: httpx.Client

    def recommend(self, **arguments: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.sdk.get_recommendations(**{"campaignArn": CAMPAIGN_ARN, **arguments})
        return answer

    def fail(self, mode: str, **more: object) -> None:
        self.http.post("/_faults", json={"mode": mode, **more}).raise_for_status()

    def stats(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.http.get("/_stats").json()
        return counts


def _sdk(url: str) -> Any:  # noqa: ANN401  # botocore makes the client's class at run time
    return boto3.client(
        "personalize-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
    )


@pytest.fixture(scope="session")
def plain(model: CoVisitationModel) -> Iterator[Running]:
    with _running(create_app(model, tps=0, latency_ms=0)) as running:
        yield running


@pytest.fixture
def start(model: CoVisitationModel, plain: Running) -> Iterator[Callable[..., Running]]:
    """Start a local Personalize; without options it is one that the tests share, reset."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Running:  # noqa: ANN401  # create_app checks them
            if options:
                return stack.enter_context(_running(create_app(model, **{"tps": 0, "latency_ms": 0, **options})))
            plain.fail("none")
            plain.http.post("/_stats/reset").raise_for_status()
            return plain

        yield begin


@contextmanager
def _running(app: RuntimeApi) -> Iterator[Running]:
    server = _ThreadServer(_server_config(app))
    with _listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        sdk = _sdk(url)
        try:
            assert server.listening.wait(timeout=10)
            with httpx.Client(base_url=url, timeout=10) as http:
                yield Running(url=url, sdk=sdk, http=http)
        finally:
            sdk.close()
            server.should_exit = True
            thread.join(timeout=10)


class _ThreadServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
