"""`personalize.toml`, read; every mistake is a line, all at once."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from service.errors import ConfigurationError
from service.pipeline.train.terms import PipelineTerms, problems_of

NAME: Final = "personalize.toml"

MAX_SHOWN: Final = 60


def read_terms(path: Path) -> PipelineTerms:
    """What a file wants; relative paths in it count from where it is.

    Raises:
        ConfigurationError: It cannot be read, or says something that cannot be; a line for each mistake.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error
    lines = []
    try:
        terms = PipelineTerms.model_validate(content)
    except ValidationError as error:
        lines = [f"{path}: {_line(detail)}" for detail in error.errors()]
    else:
        lines = [f"{path}: {line}" for line in problems_of(terms)]
    if lines:
        raise ConfigurationError(*lines)
    return _placed(terms, path.parent)


def _placed(terms: PipelineTerms, folder: Path) -> PipelineTerms:
    data = terms.data
    places: dict[str, Any] = {kind: [_place(one, folder) for one in data.of(kind)] for kind in terms.kinds}
    schemas = {kind: _place(one, folder) for kind, one in data.schemas.items()}
    upload = {"upload": _absolute(terms.upload, folder)} if terms.upload else {}
    return terms.model_copy(update={"data": data.model_copy(update=places | {"schemas": schemas}), **upload})


def _place(address: str, folder: Path) -> str:
    return address if "://" in address or Path(address).is_absolute() else str(folder / address)


def _absolute(address: str, folder: Path) -> str:
    """A `file://` address with a path from the root on, as others must read it."""
    path = address.removeprefix("file://")
    return (
        address if not address.startswith("file://") or path.startswith("/") else f"file://{folder.resolve() / path}/"
    )


def _line(detail: Mapping[str, Any]) -> str:
    parts = [str(part) for part in detail["loc"] if part != "[key]"]
    key = ".".join(parts) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: there is no such key; misspelt?"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    value = detail["input"]
    text = repr(value) if isinstance(value, str) else str(value)
    said = f"{text[:MAX_SHOWN]}: " if isinstance(value, str | int | float | bool) else ""
    message = str(detail["msg"])
    return f"{key}: {said}{message[0].lower()}{message[1:]}"
