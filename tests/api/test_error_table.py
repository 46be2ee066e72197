"""What each error says to the caller, and what is counted of it; small routes raise them."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service.api import error_table
from service.errors import (
    BlockListFull,
    InvalidQuery,
    SharedStateFull,
    SharedStateUnavailable,
    TryLater,
    Unauthorized,
)
from tests.support.small_app import Refused, serving

RAISED: Final[dict[str, Exception]] = {
    "invalid": InvalidQuery("num_results", "between 1 and 100, not 7000", "out of bounds"),
    "unauthorized": Unauthorized(),
    "full": BlockListFull("at most 3 items"),
    "unavailable": SharedStateUnavailable(),
    "no-memory": SharedStateFull("Redis has no memory left"),
    "later": TryLater("try again in a minute"),
    "gone": ClientDisconnect(),
    "teapot": HTTPException(418, "I Am a Teapot", {"X-More": "1"}),
    "conflict": HTTPException(HTTPStatus.CONFLICT),
    "not-found": HTTPException(HTTPStatus.NOT_FOUND, "no picture of this name"),
    "bad-gateway": HTTPException(HTTPStatus.BAD_GATEWAY),
    "not-kept": HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, "Not Kept"),
    "bad-request": HTTPException(HTTPStatus.BAD_REQUEST),
    "bug": ValueError("a fault of ours"),
}


class Wanted(BaseModel):
    """A body."""

    ids: list[str]


class Scene:
    """A small application with these routes."""

    http: httpx.AsyncClient
    refused: Refused

    def __init__(self) -> None:
        self.unauthorized = Counter("unauthorized", "Of a test.", registry=None)
        self.waits = 0

    async def wait(self) -> None:
        self.waits += 1

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        answer = await self.http.get(path, headers={name.replace("_", "-"): one for name, one in headers.items()})
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status_code, answer.json()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    router, other = APIRouter(), APIRouter()

    @router.get("/raise/{what}")
    async def raising(what: str) -> None:
        raise RAISED[what]

    @router.get("/number")
    async def number(at_most: Annotated[int, Query(le=9)]) -> int:
        return at_most

    @other.put("/number")
    @other.post("/number")
    async def wanted(body: Wanted) -> int:
        return len(body.ids)

    @other.delete("/only/{one}")
    async def only(one: str) -> str:
        return one

    scene = Scene()
    services = SimpleNamespace(telemetry=SimpleNamespace(unauthorized=scene.unauthorized))
    slowing = SimpleNamespace(wait=scene.wait)
    async with serving([router, other], services, wrong_credentials=slowing) as (scene.http, scene.refused):
        yield scene


def test_each_kind_of_error_that_reaches_a_caller_has_words_of_its_own() -> None:
    app = FastAPI(openapi_url=None)
    error_table.install(app, [])
    ours = {*error_table.STATUS_CODES, RequestValidationError, HTTPException, ClientDisconnect, Exception}
    assert ours <= app.exception_handlers.keys()
    words = [handler.__name__ for kind, handler in app.exception_handlers.items() if kind in ours]
    assert len(set(words)) == len(ours)
    assert sorted(error_table.STATUS_CODES.values()) == [401, 409, 422, 503, 503]


HOLDS_NOT: Final = "; the change does not hold, try again"


@pytest.mark.parametrize(
    ("what", "status", "body", "counted"),
    [
        (
            "invalid",
            422,
            {"error": "invalid_parameter", "message": "between 1 and 100, not 7000", "field": "num_results"},
            ("num_results", "out of bounds"),
        ),
        ("full", 409, {"error": "full", "message": "at most 3 items"}, ("", "at most 3 items")),
        ("unavailable", 503, {"error": "unavailable", "message": "Redis does not answer" + HOLDS_NOT}, None),
        ("no-memory", 503, {"error": "unavailable", "message": "Redis has no memory left" + HOLDS_NOT}, None),
        ("later", 503, {"error": "try_later", "message": "try again in a minute"}, None),
        ("teapot", 418, {"error": "i_am_a_teapot", "message": "I Am a Teapot"}, ("", "I Am a Teapot")),
        ("conflict", 409, {"error": "conflict", "message": "Conflict"}, ("", "Conflict")),
        (
            "not-found",
            404,
            {"error": "no_picture_of_this_name", "message": "no picture of this name"},
            ("", "no picture of this name"),
        ),
        ("not-kept", 500, {"error": "not_kept", "message": "Not Kept"}, None),
        ("bad-gateway", 502, {"error": "bad_gateway", "message": "Bad Gateway"}, None),
        (
            "bad-request",
            422,
            {"error": "invalid_parameter", "message": "is not JSON", "field": "body"},
            ("body", "is not JSON"),
        ),
        ("bug", 500, {"error": "internal_error", "message": "the fault is ours and has been logged"}, None),
    ],
)
async def test_an_error_has_its_status_and_its_words_and_is_counted_if_it_is_the_callers(
    scene: Scene, what: str, status: int, body: dict[str, str], counted: tuple[str, str] | None
) -> None:
    assert await scene.get(f"/raise/{what}") == (status, body)
    assert scene.refused.kinds == ([] if counted is None else [("/raise/{what}", status, *counted)])
    assert scene.waits == 0


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no credential was sent"),
        ({"X_API_Key": "wrong"}, "the credential is not known"),
        ({"Authorization": "Bearer wrong"}, "the credential is not known"),
        ({"X_API_Keys": "right"}, "no credential was sent"),
    ],
)
async def test_who_is_not_known_waits_and_is_counted_twice(scene: Scene, headers: dict[str, str], reason: str) -> None:
    status, body = await scene.get("/raise/unauthorized", **headers)
    assert (status, body["error"]) == (401, "unauthorized")
    assert scene.refused.kinds == [("/raise/{what}", 401, "", reason)]
    assert scene.unauthorized._value.get() == 1
    assert scene.waits == 1
    answer = await scene.http.get("/raise/unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="personalize-connect"'
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/number", "GET, HEAD, POST, PUT"),
        ("GET", "/only/one", "DELETE"),
        ("POST", "/raise/bug", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_answered_with_those_of_all_routes_of_the_path(
    scene: Scene, method: str, path: str, allowed: str
) -> None:
    answer = await scene.http.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed
    assert [kind[1:] for kind in scene.refused.kinds] == [(405, "", "Method Not Allowed")]
    # Pictures are no route, and are read.
    assert error_table._Methods([])._of(path) == "GET, HEAD"


async def test_a_path_that_is_none_is_answered_with_those_that_a_template_calls(scene: Scene) -> None:
    status, body = await scene.get("/nope")
    assert (status, body["error"]) == (404, "not_found")
    assert body["message"].endswith("templates call /recommendations, /similar-items, /ranking")
    assert scene.refused.kinds == [("", 404, "", "Not Found")]
    assert (await scene.http.get("/raise/teapot")).headers["X-More"] == "1"
    # One who has left is answered with nothing, and a fault is only logged.
    gone = await scene.http.get("/raise/gone")
    assert (gone.status_code, gone.content) == (499, b"")
    assert len(scene.refused.kinds) == 2


@pytest.mark.parametrize(
    ("given", "message", "field", "counted"),
    [
        ({"json": {"ids": ["a", 1]}}, "valid string (at place 2)", "ids", ("ids", "string type")),
        ({"content": b'{"ids": x'}, "JSON decode error (at place 9)", "body", ("body", "json invalid")),
        ({"json": {}}, "required", "ids", ("ids", "missing")),
        ({"content": b"a=b"}, error_table.NO_JSON, "body", ("body", "model attributes type")),
        ({"json": [1]}, error_table.NO_JSON, "body", ("body", "model attributes type")),
    ],
)
async def test_a_wrong_body_names_what_is_wrong_in_it(
    scene: Scene, given: dict[str, Any], message: str, field: str, counted: tuple[str, str]
) -> None:
    headers = {"Content-Type": "text/plain" if message is error_table.NO_JSON else "application/json"}
    answer = await scene.http.post("/number", **given, headers=headers)
    said = answer.json()
    assert (answer.status_code, said["error"], said["field"]) == (422, "invalid_parameter", field)
    assert message in said["message"]
    assert scene.refused.kinds == [("/number", 422, *counted)]


async def test_a_wrong_number_is_counted_by_its_name(scene: Scene) -> None:
    assert (await scene.get("/number?at_most=10"))[1]["field"] == "at_most"
    assert (await scene.http.get("/number?at_most=9")).json() == 9
    assert [kind[2] for kind in scene.refused.kinds] == ["at_most"]
