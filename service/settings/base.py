"""A group of settings: how it is read from the environment and a file, and how its mistakes become readable lines."""

import re
from collections.abc import Iterator
from inspect import get_annotations
from typing import Any, Final, NamedTuple, Self, get_args

from annotated_types import Ge, Gt, Le
from pydantic import ModelWrapValidatorHandler, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import ConfigurationError

MAX_SHOWN_CHARACTERS: Final = 60
"""Longest part of a wrong value that a problem's line repeats."""


_LOGIN: Final = re.compile(r"[A-Za-z][\w+.-]*://([^/\s@]+@)")
_WITHOUT_LOGIN: Final = "holds an address with a user or password, which it has no use for; write it without"


class Problem(NamedTuple):
    """A mistake that no type can find.

    Attributes:
        names: The settings that it is about. If one of them has a wrong value, that is said instead.
        line: For the operator: the variable, what is wrong, and the way out. It holds no secret.
    """

    names: tuple[str, ...]
    line: str

    @classmethod
    def of(cls, name: str, text: str) -> Self:
        """A problem of one setting."""
        return cls((name,), f"{name.upper()}: {text}")


class SettingsGroup(BaseSettings):
    """Settings that belong together; a blank value is the default.

    Raises:
        ConfigurationError: Something is wrong; it holds a line for each mistake, and no secret.
    """

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8-sig",  # Windows puts a mark before the first line, which would spoil its name
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        str_strip_whitespace=True,
        allow_inf_nan=False,
    )

    def problems(self) -> Iterator[Problem]:
        """What is wrong though each value is fine by itself; a group adds its own."""
        yield from ()

    @classmethod
    def groups(cls) -> list[type["SettingsGroup"]]:
        """This class and the groups that it is made of, in the order in which their mistakes are named."""
        return [one for one in cls.__mro__ if issubclass(one, SettingsGroup) and one is not SettingsGroup]

    @model_validator(mode="wrap")
    @classmethod
    def _all_problems_at_once(cls, data: dict[str, Any], handler: ModelWrapValidatorHandler[Self]) -> Self:
        values = {name: value for name, value in data.items() if not _is_blank(value)}
        wrong = {name: quoted(name) for name, value in values.items() if is_quoted(value) and not cls._is_secret(name)}
        logins = {name: login for name, value in values.items() if (login := cls._login(name, value))}
        values = {name: value for name, value in values.items() if name not in wrong}
        try:
            settings = handler(values)
        except ValidationError as error:
            for detail in error.errors():
                name = str(detail["loc"][0])
                wrong[name] = _line(name, cls.model_fields[name], detail["input"])
            settings = handler({name: value for name, value in values.items() if name not in wrong})
        lines = []
        for group in cls.groups():
            lines += [wrong[name] for name in get_annotations(group) if name in wrong]
            if "problems" in group.__dict__:
                lines += [line for names, line in group.problems(settings) if wrong.keys().isdisjoint(names)]
        for name, login in logins.items():
            # The path of a file has one slash, and a long value is cut.
            lines = [line for line in lines if login not in line and f"://{login[:4]}" not in line]
            if not any(line.startswith(f"{name.upper()}:") for line in lines):
                lines.append(f"{name.upper()}: {_WITHOUT_LOGIN}")
        if lines:
            # Outside the handler above, so that pydantic's error, which shows values, is not chained to it.
            raise ConfigurationError(*lines)
        return settings

    @classmethod
    def _is_secret(cls, name: str) -> bool:
        """Whether a value may begin and end with anything; keys have a rule of their own, and an address is none."""
        return cls._is_kept_secret(name) and not name.endswith("_url")

    @classmethod
    def _is_kept_secret(cls, name: str) -> bool:
        return name in cls.model_fields and SecretStr in get_args(cls.model_fields[name].annotation)

    @classmethod
    def _login(cls, name: str, value: object) -> str:
        """User and password in an address that errors and the log repeat; empty where there are none."""
        found = _LOGIN.search(value) if isinstance(value, str) and not cls._is_kept_secret(name) else None
        return found[1] if found else ""


def lower(value: object) -> object:
    """The value in lower case if it is text, for settings that are one word of a few."""
    return value.lower() if isinstance(value, str) else value


def split(value: str) -> list[str]:
    """The parts between commas, without blanks around them; blank ones are left out."""
    return [part for part in (part.strip() for part in value.split(",")) if part]


def shown(value: str) -> str:
    """A wrong value as a line repeats it."""
    return repr(value if len(value) <= MAX_SHOWN_CHARACTERS else f"{value[:MAX_SHOWN_CHARACTERS]}...")


def is_quoted(value: object) -> bool:
    """Whether a value has quotes around it, as a shell would take them away."""
    text = value.strip() if isinstance(value, str) else ""
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def quoted(name: str) -> str:
    """The line of a variable whose value has quotes around it; it may be a secret."""
    return f"{name.upper()}: is in quotes, which docker's --env-file and Kubernetes keep; write it without them"


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _line(name: str, field: FieldInfo, value: object) -> str:
    # A value that is wrong for its type is never a secret: those are text, for which every value is right.
    return f"{name.upper()}: {shown(str(value))} is not {_wanted(field)}"


def _wanted(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "true or false"
    choices = get_args(field.annotation)
    if choices:
        return "one of " + ", ".join(map(str, choices))
    kind = "a whole number" if field.annotation is int else "a number"
    return f"{kind} {' and '.join(_bounds(field))}"


def _bounds(field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        if isinstance(bound, Gt):
            yield f"above {bound.gt}"
        elif isinstance(bound, Ge):
            yield f"of at least {bound.ge}"
        elif isinstance(bound, Le):
            yield f"at most {bound.le}"
