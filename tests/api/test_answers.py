"""The three routes behind the lane: what they ask for, what they raise again, and what they say of an answer."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest
from fastapi import APIRouter

from service.api import answers
from service.api.lifecycle import ACCESS_LINE, ASKED, FAILED, Asked
from service.errors import InvalidQuery
from service.models import NOBODY, Answer, RecommendationQuery
from tests.support.clocks import StandingClock
from tests.support.small_app import Refused, serving

KEY: Final = b"key"
MADE: Final = Answer(b"[1]", "stale", "budget", "RID-1", 7, placement="for-you")


class Scene:
    """Routes over one placement that answers as the test says, a quarter of a second later."""

    http: httpx.AsyncClient
    refused: Refused

    def __init__(self) -> None:
        self.clock = StandingClock(100.0)
        self.answer: Answer | None = MADE
        self.asked: list[tuple[Any, ...]] = []
        self.said: list[tuple[Any, ...]] = []
        self.arm = SimpleNamespace(key_of=lambda _: KEY)
        self.placement: Any = SimpleNamespace(
            with_item=lambda query: query, arm_of=lambda _: self.arm, answer=self.answered
        )
        self.services = SimpleNamespace(
            clock=self.clock,
            gate=SimpleNamespace(lets_in=self.lets_in, sender_of=lambda _: NOBODY),
            placements=SimpleNamespace(of=lambda _: self.placement),
            limits=SimpleNamespace(deadline_seconds=1.5),
            telemetry=SimpleNamespace(answered=lambda *said: self.said.append(said)),
        )
        self.more: dict[str, object] = {}
        self.scopes: list[dict[str, Any]] = []

    async def lets_in(self, _: object) -> bool:
        return True

    async def answered(self, query: RecommendationQuery, deadline: float, *, arm: object, key: object) -> Answer | None:
        self.asked.append((query, deadline, arm, key))
        self.clock.now += 0.25
        return self.answer

    def route(self) -> Any:  # noqa: ANN401  # ASGI's own
        """In front of the routes: puts into the scope what the lane would have."""
        found = APIRouter()
        for one in answers.router.routes:
            found.routes.append(_Preparing(one, self))  # type: ignore[arg-type]  # as far as it is asked
        return found


class _Preparing:
    """A route whose scope has more."""

    def __init__(self, route: Any, scene: Scene) -> None:  # noqa: ANN401  # a route
        self._route, self._scene = route, scene

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # the route's own
        return getattr(self._route, name)

    async def handle(self, scope: dict[str, Any], receive: object, send: object) -> None:
        scope.update(self._scene.more)
        self._scene.scopes.append(scope)
        await self._route.handle(scope, receive, send)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    async with serving([scene.route()], scene.services) as (scene.http, scene.refused):
        yield scene


HEADERS: Final = {
    "content-type": "application/json",
    "content-length": "3",
    "cache-control": "no-store",
    "x-recommendation-source": "stale",
    "x-recommendation-placement": "for-you",
    "x-degraded-reason": "budget",
    "x-recommendation-id": "RID-1",
    "server-timing": "total;dur=250.0",
    "age": "7",
}


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/recommendations?user_id=u", "recommendations"),
        ("GET", "/similar-items?user_id=u&item_id=i", "similar-items"),
        ("GET", "/ranking?user_id=u&item_ids=i,j", "ranking"),
        ("POST", "/ranking", "ranking"),
    ],
)
async def test_each_route_asks_for_its_kind_and_says_once_what_came_of_it(
    scene: Scene, method: str, path: str, kind: str
) -> None:
    scene.more = {ACCESS_LINE: b"braze-1"}
    body = {"user_id": "u", "item_ids": ["i", "j"]} if method == "POST" else None
    answer = await scene.http.request(method, path, json=body)
    assert (answer.status_code, answer.content, dict(answer.headers)) == (200, b"[1]", HEADERS)
    [(query, deadline, arm, key)] = scene.asked
    assert (query.kind, query.user_id, deadline, arm, key) == (kind, "u", 101.5, scene.arm, KEY)
    assert scene.said == [(MADE, 0.25, b"braze-1")]
    # So that the lane says nothing more of it.
    assert [scope[ACCESS_LINE] for scope in scene.scopes] == [None]


async def test_what_the_lane_has_found_out_is_not_read_again_and_its_error_is_raised(scene: Scene) -> None:
    query = RecommendationQuery("v", 3)
    scene.more = {ASKED: Asked(query, scene.placement, scene.arm, None, 99.0)}  # type: ignore[arg-type]  # as above
    answer = await scene.http.get("/recommendations?user_id=u&num_results=x")
    assert (answer.status_code, answer.headers["Server-Timing"]) == (200, "total;dur=1250.0")
    assert scene.asked == [(query, 100.5, scene.arm, None)]
    assert scene.said == [(MADE, 1.25, None)]
    scene.more = {**scene.more, FAILED: InvalidQuery("item_id", "is missing")}
    answer = await scene.http.get("/recommendations?user_id=u")
    assert (answer.status_code, answer.json()["message"]) == (422, "is missing")
    assert len(scene.asked) == 1


async def test_a_query_that_is_wrong_is_refused_and_one_that_nobody_waits_for_is_not_counted(scene: Scene) -> None:
    answer = await scene.http.get("/recommendations?user_id=u&num_results=x")
    assert (answer.status_code, answer.json()["field"]) == (422, "num_results")
    assert (await scene.http.post("/ranking", content=b"{")).json()["field"] == "body"
    scene.answer = None
    assert (await scene.http.get("/recommendations?user_id=u")).status_code == 499
    assert scene.said == []
