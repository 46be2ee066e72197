"""The page Template: write Liquid, see what is wrong with it, and what users get in good and in hard cases."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from service.api.lifecycle import services_of
from service.braze.cases import CASES
from service.braze.ports import Job
from service.braze.preview import Shown, Subject
from service.braze.renderers import LintReport
from service.console.calls import OwnAnswers
from service.console.console import console_of
from service.console.routes import ApiRoute, PageRoute, render
from service.console.starters import ADDRESS, FIELDS, credential_option, starters
from service.constants import MAX_ID_CHARACTERS
from service.errors import InvalidQuery, TemplateError

pages = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(route_class=ApiRoute, include_in_schema=False)

MAX_TEMPLATE_CHARACTERS: Final = 100_000
"""Of a part. Gmail cuts a mail off at 102 kB."""

MAX_USERS: Final = 4
"""Side by side."""

MAX_VALUES: Final = 50

CHANNELS: Final = {"email": "E-mail", "push": "Push", "content-card": "Content Card"}
"""As people read them."""

Text = Annotated[str, Field(max_length=MAX_TEMPLATE_CHARACTERS)]
Id = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


class Wanted(BaseModel):
    """A message to look at."""

    model_config = ConfigDict(strict=True)

    channel: str
    parts: Annotated[dict[str, Text], Field(min_length=1, max_length=4)]
    users: Annotated[list[Id], Field(min_length=1, max_length=MAX_USERS)]
    cases: Annotated[list[str], Field(max_length=len(CASES))] = []
    values: Annotated[dict[Name, Text], Field(max_length=MAX_VALUES)] = {}
    """What `${...}` stands for: NAME or NAMESPACE.NAME."""

    @field_validator("channel")
    @classmethod
    def _is_channel(cls, channel: str) -> str:
        if channel not in FIELDS:
            raise ValueError(f"one of {', '.join(FIELDS)}")
        return channel

    @field_validator("cases")
    @classmethod
    def _are_cases(cls, cases: list[str]) -> list[str]:
        if not set(cases) <= set(CASES):
            raise ValueError(f"some of {', '.join(CASES)}")
        return cases


@pages.get("/console/template")
async def template_page(request: Request) -> Response:
    """The editor, and templates to start from."""
    services = services_of(request)
    gate = services.gate
    option = credential_option(basic=gate.takes_basic, keys=gate.takes_keys)
    start = {
        "fields": FIELDS,
        "starters": [asdict(one) for one in starters({one.kind for one in services.placements}, option)],
        "address": ADDRESS,
        "root_path": services.limits.root_path,
        "maxUsers": MAX_USERS,
    }
    return render(
        request,
        "template.html",
        inline_styles=True,
        channels=CHANNELS,
        cases={name: case.shows for name, case in CASES.items()},
        start=orjson.dumps(start).decode(),
        has_engine=find_spec("liquid") is not None,
    )


@api.post("/console/api/template")
async def look_at_template(wanted: Wanted, request: Request) -> Response:
    """What lint says of a message, and what comes of it for users and in hard cases."""
    console = console_of(request)
    unknown = set(wanted.parts) - set(FIELDS[wanted.channel])
    if unknown:
        raise InvalidQuery("parts", f"one of {', '.join(FIELDS[wanted.channel])}, not {min(unknown)!r}")
    service = OwnAnswers(services_of(request), console.spare)
    first = wanted.users[0]
    subjects = [*(Subject(user) for user in wanted.users), *(Subject(first, case) for case in wanted.cases)]
    # A part that nobody has written is none.
    parts = {name: text for name, text in wanted.parts.items() if text.strip()}
    findings: LintReport = []
    shown: list[Shown] = []
    problem = ""
    try:
        findings = await console.previews.lint(parts, wanted.channel)
    except TemplateError as error:
        # What cannot be read in time cannot be rendered in time either.
        problem = error.problem
    else:
        attributes, namespaces = _values(wanted.values)
        jobs = {name: Job(text, attributes, namespaces) for name, text in parts.items()}
        shown = await console.previews.show(jobs, subjects, service, channel=wanted.channel)
    body = orjson.dumps({"findings": findings, "problem": problem, "shown": [asdict(one) for one in shown]})
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _values(values: dict[str, str]) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    own: dict[str, object] = {}
    namespaces: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        namespace, dot, inner = name.partition(".")
        if dot:
            namespaces.setdefault(namespace, {})[inner] = value
        else:
            own[name] = value
    return own, namespaces
