"""Credentials in the environment and in mounted files, and what is wrong with how they are written."""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from service.credentials import MIN_KEY_CHARACTERS, is_cut_short, is_short, oddities
from service.settings.base import Problem, shown, split

_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def secret(value: SecretStr | None) -> str:
    """What is in a secret, without blanks around it; empty without one."""
    return "" if value is None else value.get_secret_value().strip()


def credentials_in(path: Path | None, *, keys: bool = True) -> list[str]:
    """The credentials of a file; none if it cannot be read.

    Args:
        path: Blank lines and comments in it are passed over.
        keys: Whether it holds keys, so that a comma ends one.
    """
    try:
        lines = [line for _, line in _numbered(path)] if path else []
    except (OSError, UnicodeDecodeError):
        return []
    return split(",".join(lines)) if keys else lines


def lines_with_commas(path: Path | None) -> list[int]:
    """Lines of a file that hold several keys, or one that has a comma in it and is taken for several."""
    try:
        return [number for number, line in _numbered(path) if "," in line] if path else []
    except (OSError, UnicodeDecodeError):
        return []


def written_problems(name: str, given: SecretStr | None, path: Path | None, *, keys: bool = True) -> Iterator[Problem]:
    """Credentials of one setting and its file that open to nobody or to too many; none is repeated.

    Args:
        name: The setting; its file's is `NAME_file`.
        given: Its value.
        path: Its file.
        keys: Whether they are keys, between which stands a comma, and not `user:password`.
    """
    text = secret(given)
    written = split(text) if keys else [text]
    if given is not None and not written:
        yield Problem.of(name, "holds commas but no key")
    for number, one in enumerate(written, 1):
        yield from (Problem.of(name, f"credential {number}: {wrong}") for wrong in _problems_of(one))
    if keys:
        yield from _short_key_problems(name, written)
    if path is not None:
        name = f"{name}_file"
        yield from (Problem.of(name, f"{shown(str(path))} {wrong}") for wrong in _file_problems(path, keys=keys))
        if keys:
            yield from _short_key_problems(name, credentials_in(path))


def _short_key_problems(name: str, keys: Iterable[str]) -> Iterator[Problem]:
    for key in filter(is_short, keys):
        yield Problem.of(
            name,
            f"a key has {len(key)} characters; at least {MIN_KEY_CHARACTERS} are needed, such as"
            " `openssl rand -hex 16` prints",
        )
        return


def _file_problems(path: Path, *, keys: bool) -> Iterator[str]:
    try:
        lines = list(_numbered(path))
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
        return
    except UnicodeDecodeError:
        with path.open("rb") as file:
            is_utf_16 = file.read(2).startswith(_UTF_16)
        yield "is UTF-16; save it as UTF-8" if is_utf_16 else "is not UTF-8"
        return
    if not any(split(line) for _, line in lines):
        yield "holds no credential"
    for number, line in lines:
        parts = split(line) if keys else [line]
        if len(parts) > 1 and any(map(is_short, parts)):
            yield f"line {number}: a comma ends a key; write one key a line, and none with a comma in it"
        for part in parts:
            yield from (f"line {number}: {wrong}" for wrong in _problems_of(part))


def _problems_of(credential: str) -> Iterator[str]:
    if is_cut_short(credential):
        yield "a hash is cut short; `personalize-connect hash-key` makes one"
    yield from oddities(credential)


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    # An editor of Windows puts a mark before the first line, which would become part of the first key.
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()
