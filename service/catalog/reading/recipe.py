"""How the rows of a source become a catalogue."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

import service


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows become items, and where they are kept."""

    column_mapping: Mapping[str, str]
    """Our name to the source's, for columns that are called otherwise."""

    exclusion_filter: str | None
    """The operator's filter; one with placeholders is only checked."""

    data_dir: Path
    """Where files are written; it is made when it is needed."""

    catalog_file: Path | None = None
    """A file that `catalog build` wrote, if the operator names one."""

    always_file: bool = False
    """Whether a catalogue becomes a file however small it is."""

    @property
    def digest(self) -> str:
        """Names all that decides what the same rows become: the settings, and the code that reads them."""
        settings = [sorted(self.column_mapping.items()), self.exclusion_filter or ""]
        return hashlib.sha256(_code_digest() + orjson.dumps(settings)).hexdigest()[:16]


@cache
def _code_digest() -> bytes:
    """Changes with the code that reads rows, so that no release serves what another has understood otherwise."""
    digest = hashlib.sha256()
    for path in _code():
        digest.update(path.read_bytes())
    return digest.digest()


def _code() -> Iterator[Path]:
    root = Path(service.__path__[0])
    for name in ("catalog/item.py", "catalog/adapters/sqlite_sink.py"):
        yield root / name
    for folder in ("catalog/reading", "filters"):
        yield from sorted((root / folder).glob("*.py"))
