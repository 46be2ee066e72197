"""The real application with its real lifespan; only Personalize is a fake that one can ask."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from service.api.hit_lane import HitLane
from service.errors import RecommenderError
from service.models import ItemList, ListRequest
from tests.support.clocks import MovingClock
from tests.support.waiting import until

ITEMS = 60


@dataclass(slots=True)
class AskablePersonalize:
    """Answers each user with a list of its own, and remembers what it was asked."""

    clock: MovingClock
    asked: list[ListRequest] = field(default_factory=list)
    failure: RecommenderError | None = None
    unknown_items: int = 0
    """Of each list's beginning, made unknown to the catalogue."""

    popular: bool = False
    """Whether it says of every item that it is there because it is popular."""

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
        if request.kind == "ranking":
            ids = tuple(reversed(request.item_ids))
        if self.empty:
            ids = ()
        return ItemList(ids, f"RID-{len(self.asked)}", self.clock.time(), is_popular=self.popular)


@dataclass(slots=True)
class Door:
    """The front door of a running application."""

    http: httpx.AsyncClient
    personalize: AskablePersonalize
    clock: MovingClock
    app: HitLane

    async def get(self, path: str, **parameters: object) -> httpx.Response:
        return await self.http.get(path, params={name: str(value) for name, value in parameters.items()})

    async def shows(self, line: str) -> None:
        """Return once a line is among the metrics; often only a metric tells that something in the background is done.

        Raises:
            TimeoutError: It did not come.
        """

        async def is_there() -> bool:
            return line in (await self.http.get("/metrics")).text

        await until(is_there)


class OpenDoor(Protocol):
    """Opens the front door of a replica with these settings.

    With the address of a local Personalize it is that one that is asked, by the real SDK.
    """

    def __call__(
        self, *, local_personalize: str | None = None, **settings: str
    ) -> AbstractAsyncContextManager[Door]: ...


OpenFleet = Callable[[], AbstractAsyncContextManager[list[Door]]]
"""Opens the doors of replicas that share a Redis."""


@asynccontextmanager
async def three_doors(open_door: OpenDoor, **variables: str) -> AsyncIterator[list[Door]]:
    """Three replicas, configured alike."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_door(**variables)) for _ in range(3)]


@asynccontextmanager
async def running(app: HitLane) -> AsyncIterator[None]:
    """Drive the lifespan as a server does."""
    async with app.application.router.lifespan_context(app.application):
        yield
