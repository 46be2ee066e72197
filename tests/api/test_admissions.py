"""Who is let in to which route, by what the gates say, and what routes find when there is nothing to find."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.api import keyed_route
from service.api.lifecycle import EventRoutes, Lifecycle, Services, event_routes_of
from service.api.pages import router as pages
from service.api.routes import router as routes
from service.errors import InvalidQuery, Unauthorized
from tests.support.small_app import serving

HEADERS: Final = [(b"x-api-key", b"a")]


class Gate:
    """Lets in or not, and keeps what it is asked."""

    def __init__(self, *, opens: bool) -> None:
        self.opens = opens
        self.asked: list[tuple[Any, ...]] = []

    async def lets_in(self, headers: object) -> bool:
        self.asked.append(("in", headers))
        return self.opens

    async def lets_administrate(self, headers: object) -> bool:
        self.asked.append(("administrate", headers))
        return self.opens

    async def let_in(self, access: str, headers: object) -> None:
        self.asked.append((access, headers))
        if not self.opens:
            raise HTTPException(404)


def services_with(gate: Gate, events: Gate | None = None) -> Any:  # noqa: ANN401  # as far as routes ask
    nothing: Any = None
    return SimpleNamespace(
        gate=gate,
        limits=SimpleNamespace(docs_access="keyed", metrics_access="open", root_path="/shop"),
        events=None if events is None else EventRoutes(events, nothing),  # type: ignore[arg-type]  # as far as it is asked
    )


def request_of(services: Any, raw_path: bytes = b"/a", **path_params: str) -> Any:  # noqa: ANN401  # a request
    state = SimpleNamespace(lifecycle=Lifecycle(running=services))
    scope = {"headers": HEADERS, "raw_path": raw_path}
    return SimpleNamespace(scope=scope, path_params=path_params, app=SimpleNamespace(state=state))


Admission = Callable[[Any], Awaitable[None]]


@pytest.mark.parametrize(
    ("admission", "asked", "refusal"),
    [
        (keyed_route.caller, "in", Unauthorized),
        (keyed_route.administrator, "administrate", Unauthorized),
        (keyed_route.reader_of_docs, "keyed", HTTPException),
        (keyed_route.reader_of_metrics, "open", HTTPException),
    ],
)
async def test_each_admission_asks_the_gate_for_its_own(
    admission: Admission, asked: str, refusal: type[Exception]
) -> None:
    gate = Gate(opens=True)
    await admission(request_of(services_with(gate)))
    gate.opens = False
    with pytest.raises(refusal):
        await admission(request_of(services_with(gate)))
    assert gate.asked == [(asked, HEADERS)] * 2


async def test_senders_of_events_have_a_gate_of_their_own() -> None:
    gate, events = Gate(opens=True), Gate(opens=True)
    services = services_with(gate, events)
    await keyed_route.sender_of_events(request_of(services))
    events.opens = False
    with pytest.raises(Unauthorized):
        await keyed_route.sender_of_events(request_of(services))
    assert events.asked == [("in", HEADERS)] * 2
    assert event_routes_of(request_of(services)) is services.events
    without = services_with(gate)
    with pytest.raises(HTTPException) as raised:
        await keyed_route.sender_of_events(request_of(without))
    assert raised.value.status_code == 404
    with pytest.raises(RuntimeError, match="EVENT_KEYS"):
        event_routes_of(request_of(without))
    assert gate.asked == []


async def test_an_administrator_names_whom_it_is_about_in_utf8() -> None:
    services = services_with(Gate(opens=True))
    await keyed_route.administrator(request_of(services, b"/users/%C3%BC", user_id="ü"))
    for params, field in (({"user_id": "?"}, "user_id"), ({}, "path")):
        with pytest.raises(InvalidQuery) as raised:
            await keyed_route.administrator(request_of(services, b"/users/%FF", **params))
        assert raised.value.field == field


async def test_a_route_that_takes_only_the_request_gets_it_unread_and_others_are_read_behind_the_admission() -> None:
    gate = Gate(opens=True)
    router = APIRouter(route_class=keyed_route.keyed(keyed_route.caller))

    @router.post("/whole")
    async def whole(request: Request) -> JSONResponse:
        return JSONResponse([request.query_params.get("count"), len(await request.body())])

    @router.post("/number")
    async def number(count: int) -> int:
        return count

    @router.post("/both")
    async def both(count: int, request: Request) -> int:
        return count + len(request.query_params)

    async def wait() -> None:
        pass

    services = services_with(gate)
    services.telemetry = SimpleNamespace(unauthorized=SimpleNamespace(inc=lambda: None))
    slowing = SimpleNamespace(wait=wait)
    async with serving([router], services, wrong_credentials=slowing) as (http, _):

        async def post(path: str) -> tuple[int, Any]:
            answer = await http.post(path, content=b"{not JSON")
            return answer.status_code, answer.json()

        assert await post("/whole?count=x") == (200, ["x", 9])
        assert await post("/number?count=7") == (200, 7)
        assert await post("/both?count=7") == (200, 8)
        assert (await post("/number?count=x"))[0] == 422
        gate.opens = False
        for path in ("/whole?count=x", "/number?count=x", "/both"):
            assert (await post(path))[0] == 401


async def test_before_readiness_there_is_nothing_that_answers() -> None:
    lifecycle = Lifecycle()
    assert lifecycle.phase == "starting"
    with pytest.raises(RuntimeError, match="before readiness"):
        assert lifecycle.services is None
    services = services_with(Gate(opens=True))
    lifecycle.running = services
    assert lifecycle.services is services
    phases: list[Any] = ["starting", "ready", "draining"]
    for phase in phases:
        async with serving([routes], services, phase=phase) as (http, _):
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()) == (200 if phase == "ready" else 503, {"status": phase})
            assert (await http.get("/livez")).json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("has_events", "user_id", "version", "known"),
    [
        (False, "ann", -1, True),
        (True, "", -1, True),
        (True, "ann", -1, False),
        (True, "ann", 0, True),
        (True, "ann", 1_000_000, True),
    ],
)
def test_what_an_answer_depends_on_is_here_unless_events_of_the_user_are_to_be_loaded(
    user_id: str, version: int, *, has_events: bool, known: bool
) -> None:
    nothing: Any = None
    of_events = SimpleNamespace(
        known=SimpleNamespace(
            prefix=lambda user_id: user_id.encode(), version=lambda prefix: version if prefix == b"ann" else 0
        )
    )
    services = Services(
        clock=nothing,
        gate=nothing,
        telemetry=nothing,
        placements=nothing,
        administration=nothing,
        limits=nothing,
        about={},
        memory=nothing,
        events=EventRoutes(nothing, of_events) if has_events else None,  # type: ignore[arg-type]  # as above
    )
    assert services.knows_events_of(user_id) is known


async def test_the_documentation_is_three_files_that_the_browser_may_keep_for_an_hour() -> None:
    services = services_with(Gate(opens=True))
    async with serving([pages], services) as (http, _):

        async def file(name: str) -> httpx.Response:
            return await http.get(f"/docs/{name}")

        start, style, other = await file("start.js"), await file("swagger-ui.css"), await file("core.py")
        assert start.text.startswith("const here =")
        assert ".swagger-ui" in style.text
        for one in (start, style):
            assert one.headers["Cache-Control"] == "private, max-age=3600"
        assert other.status_code == 404
        page = await http.get("/docs")
        assert 'data-document="/shop/openapi.json"' in page.text
