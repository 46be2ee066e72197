"""Where a column of an item comes from: a column of the source, a path into one, or a template over several."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import orjson

from service.catalog.reading.cells import NOTHING

_PATH: Final = re.compile(r"(?P<root>[^.\[\]]+)(?P<steps>(?:\.[^.\[\]]+|\[\d+\])+)")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_PAIR: Final = re.compile(r'\s*([^=,"]*?)\s*(?:=\s*(?:"((?:[^"]|"")*)"\s*|((?:\{[^{}]*\}|[^,])*)))?(?:,|$)')
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_RESERVED: Final = ":/?#[]@!$&'()*+,;=%"
"""Kept by `{+name}`. Source: RFC 6570, section 3.2.3."""

Getter = Callable[[Sequence[object]], object]
"""The value of a record."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one column of an item comes from."""

    text: str
    """As `CATALOG_COLUMNS` writes it."""

    roots: tuple[str, ...]
    """Columns of the source that it reads."""

    column: str | None
    """The column that it is; None for a path and a template."""

    steps: tuple[str | int, ...] = ()
    """Of a path, from its only root."""

    parts: tuple["str | Origin", ...] = ()
    """Of a template: texts, and origins between them."""

    keeps_reserved: bool = False
    """Of an origin in a template: `{+name}`."""

    def getter(self, places: Mapping[str, int]) -> Getter:
        """What reads it from a record.

        Args:
            places: Of each column in a record.
        """
        if self.column is not None:
            place = places[self.column]
            return lambda record: record[place]
        if self.parts:
            return self._template(places)
        place, steps = places[self.roots[0]], self.steps
        return lambda record: _walked(record[place], steps)

    def _template(self, places: Mapping[str, int]) -> Getter:
        is_address = isinstance(self.parts[0], str) and _ADDRESS.match(self.parts[0]) is not None
        parts = [
            part if isinstance(part, str) else (part.getter(places), _RESERVED if part.keeps_reserved else "")
            for part in self.parts
        ]

        def filled(record: Sequence[object]) -> str | None:
            texts = []
            for part in parts:
                if isinstance(part, str):
                    texts.append(part)
                    continue
                get, safe = part
                value = as_text(get(record))
                if not value:
                    return None
                texts.append(quote(value, safe=safe) if is_address else value)
            return "".join(texts)

        return filled


def find_origin(text: str, names: Collection[str]) -> Origin | None:
    """What `CATALOG_COLUMNS` means by a text, in a source with these columns; None if it names what is not there."""
    if text in names:
        return Origin(text, (text,), text)
    if _HOLE.search(text):
        return _found_template(text, names)
    match = _PATH.fullmatch(text)
    if match is None or match["root"] not in names:
        return None
    steps = tuple(key or int(index) for key, index in _STEP.findall(match["steps"]))
    return Origin(text, (match["root"],), None, steps)


def missing_in(text: str, names: Collection[str]) -> list[str]:
    """The columns that a text names and the source lacks."""
    wanted = [_bare(hole) for hole in _HOLE.findall(text)] or [text]
    return [one for one in wanted if find_origin(one, names) is None]


def _found_template(text: str, names: Collection[str]) -> Origin | None:
    parts: list[str | Origin] = []
    for number, piece in enumerate(_HOLE.split(text)):
        if number % 2 == 0:
            parts.append(piece)
            continue
        origin = find_origin(_bare(piece), names)
        if origin is None or origin.parts:
            return None
        parts.append(
            Origin(origin.text, origin.roots, origin.column, origin.steps, (), keeps_reserved=piece.startswith("+"))
        )
    roots = tuple(root for part in parts if isinstance(part, Origin) for root in part.roots)
    return Origin(text, roots, None, (), tuple(part for part in parts if part != ""))


def _bare(hole: str) -> str:
    return hole.removeprefix("+").strip()


def as_text(value: object) -> str:
    """A value as text, without blanks around it; empty when it is missing or cannot stand for a text."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else ""


def _walked(value: object, steps: Sequence[str | int]) -> object:
    """What a path leads to; None where it ends before. A cell of CSV may hold JSON."""
    for step in steps:
        if isinstance(value, str) and value[:1] in "{[":
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                return None
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    if isinstance(value, str):
        return None if (trimmed := value.strip()) in NOTHING else trimmed
    return value


def column_pairs(text: str) -> Iterator[tuple[str, str]]:
    """Our column and what `CATALOG_COLUMNS` says of it, pair by pair.

    Pairs are separated by commas. A name with a comma or a quote stands in double quotes, a quote in it twice:
    ``name="Product, long",url=https://shop.example/p/{Handle}``.
    """
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:  # there is a quote in its name
            yield text[place:].strip().partition("=")[0].strip(), ""
            return
        ours, quoted, bare = match[1], match[2], match[3]
        theirs = quoted.replace('""', '"') if quoted is not None else (bare or "").strip()
        if ours or theirs:
            yield ours, theirs
        place = match.end()


def written(pairs: Mapping[str, str]) -> str:
    """Pairs as `CATALOG_COLUMNS` takes them."""
    return ",".join(f"{ours}={_quoted(theirs)}" for ours, theirs in pairs.items())


def _quoted(text: str) -> str:
    if _HOLE.search(text) and not {",", '"'} & set(_HOLE.sub("", text)):
        return text
    escaped = text.replace('"', '""')
    return f'"{escaped}"' if set(text) & {",", '"'} or text != text.strip() else text
