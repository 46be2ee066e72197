"""Templates to start from: those of docs/braze/templates.md, with a caller's own address and credential."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.models import RequestKind

FOLDER: Final = Path(__file__).parent / "starters"

ADDRESS: Final = "https://recommendations.example.com"
"""In the files; the page puts the service's own address in its place."""

CREDENTIAL: Final = "recommendations"
"""Name of the credential in Braze, where nobody names another."""

FIELDS: Final[Mapping[str, Sequence[str]]] = {
    "email": ("body",),
    "push": ("title", "body", "image", "link"),
    "content-card": ("title", "description", "image", "link"),
}
"""The parts of a message by channel; each is a template."""


@dataclass(frozen=True, slots=True)
class Starter:
    """A template to start from.

    Attributes:
        name: As people read it.
        channel: What the message is.
        parts: Templates by field.
        needs: Kind of placement that must be there.
    """

    name: str
    channel: str
    parts: Mapping[str, str]
    needs: RequestKind = "recommendations"


def starters(kinds: Collection[RequestKind], credential: str) -> list[Starter]:
    """The templates that this service can answer.

    Args:
        kinds: Of its placements.
        credential: The option that names the credential; empty if the service needs none.
    """
    return [
        Starter(one.name, one.channel, {name: _with(text, credential) for name, text in one.parts.items()}, one.needs)
        for one in _all()
        if one.needs in kinds
    ]


def credential_option(*, basic: bool, keys: bool) -> str:
    """The option of a call that names the credential in Braze; empty where none is needed."""
    if basic:
        return f":basic_auth {CREDENTIAL}"
    return f":auth_credentials {CREDENTIAL}" if keys else ""


def _all() -> list[Starter]:
    call, guard, title, image, link = _text("content-card").splitlines()
    of_push = _text("push")
    head = f"{call}\n{guard}\n"
    head_of_push = "".join(of_push.splitlines(keepends=True)[:2])
    return [
        Starter("E-mail: four items", "email", {"body": _text("email")}),
        Starter("E-mail: for you, or popular now", "email", {"body": _text("source")}),
        Starter("E-mail: abandoned cart", "email", {"body": _text("abandoned-cart")}, "similar-items"),
        Starter("E-mail: a curated edit", "email", {"body": _text("curated-edit")}, "ranking"),
        Starter(
            "Push",
            "push",
            {
                "title": "Picked for you\n",
                "body": of_push,
                "image": head_of_push + image + "\n",
                "link": head_of_push + link + "\n",
            },
        ),
        Starter(
            "Content Card",
            "content-card",
            {
                "title": head + title + "\n",
                "description": "Picked for you\n",
                "image": head + image + "\n",
                "link": head + link + "\n",
            },
        ),
    ]


def _with(text: str, credential: str) -> str:
    for option in (" :basic_auth recommendations", " :auth_credentials recommendations"):
        text = text.replace(option, f" {credential}" if credential else "")
    return text


def _text(name: str) -> str:
    return (FOLDER / f"{name}.liquid").read_text("utf-8")
