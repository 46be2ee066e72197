"""Every setting, read from the environment and from `.env`; `.env.example` describes each for the operator.

Settings that belong together are a group, in a file of its own: its fields, and what can be wrong with them together.
A command that needs only some of them loads only their group. The AWS SDK's own variables are not settings of ours: the
SDK reads them itself.
"""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, Final, TypeVar

from dotenv.parser import Original, parse_stream

from service.errors import ConfigurationError
from service.settings.access import AccessSettings
from service.settings.base import SettingsGroup, is_quoted, quoted
from service.settings.catalog import CatalogSettings
from service.settings.client import ClientSettings
from service.settings.events import EventSettings
from service.settings.key_files import secret
from service.settings.personalize import PersonalizeSettings
from service.settings.placements import PlacementTerms
from service.settings.send import SendSettings
from service.settings.server import ServerSettings
from service.settings.state import StateSettings

__all__ = [
    "CatalogSettings",
    "ClientSettings",
    "SendSettings",
    "Settings",
    "SettingsGroup",
    "load",
    "load_settings",
    "read_env_file",
]

ENV_FILE = ".env"
"""In the working directory; the environment goes before it."""

SDK_PREFIXES = ("AWS_", "OTEL_")
"""What the variables begin with that the SDKs of AWS and OpenTelemetry read themselves."""


class PlacementSettings(PersonalizeSettings, SendSettings, SettingsGroup):
    """Who answers, and how a send to them goes."""

    @cached_property
    def placements(self) -> dict[str, PlacementTerms]:
        """The placements by name, in the operator's order; the first of a kind is the kind's default."""
        if self.placements_file is not None:
            return self.placement_file_content[0]
        return self.usual_placements(self.personalize_tps)


class Settings(
    ServerSettings,
    PlacementSettings,
    CatalogSettings,
    StateSettings,
    EventSettings,
    AccessSettings,
    SettingsGroup,
):
    """What the operator decides; a blank value is the default.

    Raises:
        ConfigurationError: Something is wrong; it holds a line for each mistake, and no secret.
    """

    @property
    def first_placement(self) -> PlacementTerms:
        """The placement whose ARN and filter name this deployment in Redis."""
        return next(iter(self.placements.values()))

    @property
    def user_key(self) -> str:
        """Secret of the users' keys; if the operator gives none, the ARN, which all replicas know anyway."""
        return secret(self.user_key_secret) or self.first_placement.arn


_REFERENCE: Final = re.compile(r"\$\{(\w+)\}")
"""Another variable in a value of the file; one that is not set would be read as nothing."""

Group = TypeVar("Group", bound=SettingsGroup)


def load(kind: type[Group], env_file: str | Path | None = ENV_FILE, **explicit: Any) -> Group:  # noqa: ANN401  # one type for each field
    """The settings of a group: what is given here, else the environment, else a file, else the default.

    The file's variables for the SDKs of AWS and OpenTelemetry are put into the environment, where those look. A file
    that does not exist is fine.

    Args:
        kind: The group.
        env_file: None reads no file.
        explicit: Settings by field name, such as a command's options; None stands for one that was not given.

    Raises:
        ConfigurationError: Something is wrong; it holds a line for each mistake, and no secret.
    """
    in_file = read_env_file(env_file)
    for name, value in in_file.items():
        if name.startswith(SDK_PREFIXES) and value:
            os.environ.setdefault(name, value)
    lines = [quoted(name) for name, value in sorted(os.environ.items()) if name.startswith("AWS_") and is_quoted(value)]
    for name, value in in_file.items():
        if name.lower() in kind.model_fields and name not in os.environ:
            lines += [
                f"{name.upper()}: ${{{other}}} is set neither in {env_file} nor in the environment"
                for other in _REFERENCE.findall(value or "")
                if other not in in_file and other not in os.environ
            ]
    try:
        settings = kind(_env_file=env_file, **{name: value for name, value in explicit.items() if value is not None})
    except ConfigurationError as error:
        lines += error.problems
    if lines:
        raise ConfigurationError(*lines)
    return settings


def load_settings(env_file: str | Path | None = ENV_FILE) -> Settings:
    """All settings; see `load`.

    Raises:
        ConfigurationError: Something is wrong; it holds a line for each mistake, and no secret.
    """
    return load(Settings, env_file)


def read_env_file(env_file: str | Path | None = ENV_FILE) -> Mapping[str, str | None]:
    """The variables of a file; none if it does not exist.

    Raises:
        ConfigurationError: It is there and cannot be read, or a line of it sets nothing. Its number is shown only, as
            it may be a secret.
    """
    if not env_file or not Path(env_file).is_file():
        return {}
    try:
        bindings = list(parse_stream(StringIO(Path(env_file).read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise ConfigurationError(f"{env_file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{env_file}: is not UTF-8") from error
    lines = [
        f"{env_file}: line {_line(one.original)} is no NAME=value, or its quote is not closed; a comment begins with #"
        for one in bindings
        if one.error
    ]
    if lines:
        raise ConfigurationError(*lines)
    return {binding.key: binding.value for binding in bindings if binding.key is not None}


def _line(original: Original) -> int:
    """Where a statement begins; the blank lines before it are the parser's part of it."""
    text = original.string
    return original.line + text[: len(text) - len(text.lstrip())].count("\n")
