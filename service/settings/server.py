"""Where the process listens, what it logs and how it stops."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from service.constants import FOLDERS, MAX_PORT
from service.settings.base import Problem, SettingsGroup, lower, shown

MAX_ROOT_PATH_CHARACTERS: Final = 200

_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def _without_last_slash(value: object) -> object:
    return value.strip().rstrip("/") if isinstance(value, str) else value


class ServerSettings(SettingsGroup):
    """How one process listens, logs and stops."""

    host: str = "0.0.0.0"  # noqa: S104  # in a container, the outside is the only side
    """Address to listen on."""

    port: int = Field(8000, ge=0, le=MAX_PORT)
    """Port to listen on; 0 takes a free one."""

    root_path: Annotated[str, BeforeValidator(_without_last_slash)] = ""
    """Prefix under which a proxy passes all paths on, such as `/personalize`; empty for none."""

    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(lower)] = "info"
    """Least severe event that is logged."""

    log_format: Annotated[Literal["json", "text"], BeforeValidator(lower)] = "json"
    """One JSON object a line, or text for people."""

    access_log_sample: float = Field(0.01, ge=0, le=1)
    """Share of answers that get an access line."""

    drain_seconds: float = Field(2, ge=0, le=300)
    """How long /readyz says 503 before the listener closes."""

    def problems(self) -> Iterator[Problem]:
        """A prefix that no path begins with, or with which paths of ours begin."""
        wanted = self.root_path
        if not wanted:
            return
        parts = wanted.split("/")
        if len(wanted) > MAX_ROOT_PATH_CHARACTERS:
            yield Problem.of("root_path", f"has {len(wanted)} characters; at most {MAX_ROOT_PATH_CHARACTERS}")
        elif not _ROOT_PATH.fullmatch(wanted) or not {".", ".."}.isdisjoint(parts):
            yield Problem.of(
                "root_path",
                f"{shown(wanted)} is not the beginning of a path; write / and letters, digits, . _ ~ -: /personalize",
            )
        elif parts[1] in FOLDERS:
            yield Problem.of("root_path", f"{shown(wanted)}: paths of the service begin so; use another prefix")
