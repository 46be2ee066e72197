"""The real application with its real lifespan; only Personalize is a fake that one can ask."""

import asyncio
import csv
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.api.hit_lane import HitLane
from service.errors import RecommenderError
from service.main import create_app
from service.models import ItemList, ListRequest
from service.settings import Settings, load_settings
from service.wiring.replica import Overrides

ITEMS = 60


@dataclass(slots=True)
class MovingClock:
    """Real time, moved forward at will."""

    ahead_seconds: float = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_seconds

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_seconds


@dataclass(slots=True)
class AskablePersonalize:
    """Answers each user with a list of its own, and remembers what it was asked."""

    clock: MovingClock
    asked: list[ListRequest] = field(default_factory=list)
    failure: RecommenderError | None = None
    unknown_items: int = 0
    """Of each list's beginning, made unknown to the catalogue."""

    empty: bool = False
    held: asyncio.Event | None = None
    """What every answer waits for."""

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        assert timeout_seconds > 0
        self.asked.append(request)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        first = sum(request.user_id.encode("utf-8", "surrogatepass")) % ITEMS
        ids = tuple(f"item{(first + n) % ITEMS:03}" for n in range(min(request.num_results, ITEMS)))
        ids = tuple(f"gone{n}" for n in range(self.unknown_items)) + ids[self.unknown_items :]
        if self.empty:
            ids = ()
        return ItemList(ids, f"RID-{len(self.asked)}", self.clock.time())


@dataclass(slots=True)
class Door:
    """The front door of a running application."""

    http: httpx.AsyncClient
    personalize: AskablePersonalize
    clock: MovingClock
    app: HitLane

    async def get(self, path: str, **parameters: object) -> httpx.Response:
        return await self.http.get(path, params={name: str(value) for name, value in parameters.items()})


OpenDoor = Callable[..., AbstractAsyncContextManager[Door]]


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
def open_door(catalog_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenDoor:
    monkeypatch.chdir(tmp_path)

    @asynccontextmanager
    async def opened(**variables: str) -> AsyncIterator[Door]:
        values = {
            "PERSONALIZE_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/test",
            "PERSONALIZE_TPS": "500",
            "CATALOG_URL": f"file://{catalog_file}",
            "ALLOW_ANONYMOUS": "true",
            **variables,
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings: Settings = load_settings()
        clock = MovingClock()
        personalize = AskablePersonalize(clock)
        app = create_app(settings, Overrides(clock=clock, recommender=personalize))
        async with running(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://recs.test") as http:
                yield Door(http, personalize, clock, app)

    return opened


@asynccontextmanager
async def running(app: HitLane) -> AsyncIterator[None]:
    """Drive the lifespan as a server does."""
    async with app.application.router.lifespan_context(app.application):
        yield


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door
