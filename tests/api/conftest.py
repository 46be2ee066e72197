"""The real application with its real lifespan; only Personalize is a fake that one can ask."""

import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from service.events import known
from service.main import create_app
from service.personalize.sdk import runtime
from service.settings import Settings, load_settings
from service.wiring.replica import Overrides
from tests.support.clocks import MovingClock
from tests.support.front_door import ITEMS, AskablePersonalize, Door, OpenDoor, running
from tests.support.processes import CAMPAIGN_ARN
from tests.support.redis import be_patient_with_redis, count_few_buckets, let_newcomers_in
from tests.support.waiting import PATIENCE_SECONDS, PATIENT_DEADLINE_SECONDS


@pytest.fixture
def catalog_file(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "url", "name", "price", "image", "category", "stock"])
        for n in range(ITEMS):
            name = f"item{n:03}"
            row = [
                name,
                f"https://shop.example.com/{name}",
                f'Näme "{n}" <b>',
                f"{n}.50",
                f"https://cdn.example.com/{name}",
            ]
            writer.writerow([*row, "even" if n % 2 == 0 else "odd", n])
    return path


@pytest.fixture
def newcomers_ask_first() -> bool:
    """Whether replicas start as in operation; a test of Redis's memory says so with `parametrize`."""
    return False


@pytest.fixture
def redis_has_time() -> bool:
    """Whether a slow Redis is waited for; tests of one that does not answer are about how long."""
    return True


@pytest.fixture
def open_door(
    catalog_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    newcomers_ask_first: bool,
    redis_has_time: bool,
) -> OpenDoor:
    monkeypatch.chdir(tmp_path)
    if redis_has_time:
        be_patient_with_redis(monkeypatch)
    count_few_buckets(monkeypatch)
    if not newcomers_ask_first:
        let_newcomers_in(monkeypatch)
    # A connection on loopback is there at once, unless this machine does other work.
    monkeypatch.setattr(runtime, "CONNECT_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    # What a user did is looked up at once too.
    monkeypatch.setattr(known, "LOAD_SECONDS", PATIENCE_SECONDS)

    @asynccontextmanager
    async def opened(*, local_personalize: str | None = None, **variables: str) -> AsyncIterator[Door]:
        sdk = {
            "AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME": local_personalize or "",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "us-east-1",
        }
        values = {
            **(sdk if local_personalize else {}),
            "PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN_ARN,
            "PERSONALIZE_TPS": "500",
            "CATALOG_URL": f"file://{catalog_file}",
            "ALLOW_ANONYMOUS": "true",
            "REQUEST_DEADLINE_SECONDS": PATIENT_DEADLINE_SECONDS,
            # What a replica does by itself is what most tests without Redis are about.
            "REPLICA_LINKS": "off",
            **variables,
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings: Settings = load_settings()
        clock = MovingClock()
        personalize = AskablePersonalize(clock)
        app = create_app(settings, Overrides(clock=clock, recommender=None if local_personalize else personalize))
        async with running(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://recs.localhost") as http:
                yield Door(http, personalize, clock, app)

    return opened


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door
