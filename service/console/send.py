"""The page Send: what a send will get before it is sent, and lists fetched for it."""

import asyncio
from dataclasses import asdict
from io import BytesIO
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.api import admin
from service.api.admin import AdminServices
from service.api.lifecycle import services_of
from service.console.console import console_of
from service.console.routes import ApiRoute, PageRoute, render
from service.console.send_tools import PlacementFacts, SendTools
from service.errors import InvalidQuery
from service.sends.plan.send import MAX_MINUTES, MAX_PASSES, MAX_RECIPIENTS
from service.sends.ports import DEFAULT_SPARE
from service.sends.users.findings import Findings, UsersFileError
from service.sends.users.formats import users_of

pages = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(route_class=ApiRoute, include_in_schema=False)

MAX_TEXT_CHARACTERS: Final = 60_000
"""Of a users file that is read at a time; the page cuts a file into such pieces."""

Share = Annotated[float, Field(ge=0, le=100)]


class Planned(BaseModel):
    """A send to plan; shares in percent."""

    model_config = ConfigDict(strict=True)

    placement: str
    recipients: Annotated[int, Field(ge=1, le=MAX_RECIPIENTS)]
    minutes: Annotated[float, Field(gt=0, le=MAX_MINUTES)]
    tps: Annotated[float, Field(gt=0)]
    passes: Annotated[int, Field(ge=1, le=MAX_PASSES)] = 3
    fresh: Share = 0.0
    batch: Share = 0.0
    active: Share = 0.0
    spare: Annotated[float, Field(gt=0, le=1)] = DEFAULT_SPARE


class UsersText(BaseModel):
    """Some lines of a users file, the first line of the file before them."""

    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(max_length=200)]
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)]


@pages.get("/console/send")
async def send_page(request: Request) -> Response:
    """Plan a send, and fetch its lists."""
    tools = console_of(request).sends
    placements = {name: one for name, one in tools.placements.items() if one.kind == "recommendations"}
    return render(
        request,
        "send.html",
        placements=placements,
        live=tools.live_until_event,
        spare=DEFAULT_SPARE,
        most_characters=MAX_TEXT_CHARACTERS,
    )


@api.post("/console/api/send/plan")
async def plan_send(planned: Planned, request: Request) -> Response:
    """What a send will get; see `personalize-connect plan`."""
    tools = console_of(request).sends
    facts = tools.placements.get(planned.placement)
    if facts is None:
        raise InvalidQuery("placement", f"one of {', '.join(tools.placements)}", "no such placement")
    found = await tools.planner.plan(_send(planned, facts, tools), planned.spare)
    if "problem" in found:
        name, _, rest = found["problem"].partition(" ")
        raise InvalidQuery(name, rest, "a plan of such a send")
    return Response(orjson.dumps(found), media_type="application/json", headers={"Cache-Control": "no-store"})


def _send(planned: Planned, facts: PlacementFacts, tools: SendTools) -> dict[str, Any]:
    # As `personalize-connect plan` has it: with lists that live until an event, all of them are fresh but the active.
    return {
        "recipients": planned.recipients,
        "passes": planned.passes,
        "minutes": planned.minutes,
        "tps": planned.tps,
        "cached": planned.fresh / 100,
        "batch": planned.batch / 100,
        "active": planned.active / 100 if tools.live_until_event else 0.0,
        "fresh_seconds": facts.stale_seconds if tools.live_until_event else facts.fresh_seconds,
        "stale_seconds": facts.stale_seconds,
        "deadline_seconds": tools.deadline_seconds,
    }


@api.post("/console/api/send/users")
async def read_users(lines: UsersText) -> JSONResponse:
    """The user ids in some lines of a users file, and what is wrong with lines that name none."""
    findings = Findings()
    try:
        users = dict.fromkeys(user for _, user in users_of(BytesIO(lines.text.encode()), lines.name, "", findings))
    except UsersFileError as error:
        raise InvalidQuery("file", str(error), "a users file that cannot be read") from None
    body = {"users": list(users), "findings": list(findings.words())}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


@api.post("/console/api/send/prewarm")
async def prewarm(wanted: admin.Wanted, services: AdminServices) -> JSONResponse:
    """Fetch lists of some users, as `POST /users/prewarm` does."""
    return await admin.prewarm_users(wanted, services)


@api.get("/console/api/send/state")
async def state(request: Request) -> JSONResponse:
    """Whether a prewarm is under way in this replica, and the batch lists of each placement."""
    tools, administration = console_of(request).sends, services_of(request).administration
    batches = {name: asdict(await asyncio.to_thread(tools.batch_state, name)) for name in tools.placements}
    body = {"prewarming": administration.prewarm_turn.locked(), "batches": batches}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})
