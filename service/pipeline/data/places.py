"""Which files make which dataset."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from service.errors import ConfigurationError
from service.files.adapters.find import find
from service.files.stored import StoredFile
from service.pipeline.data.limits import KINDS, DatasetKind

_ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
SUFFIXES: Final = tuple(ending + packed for ending in _ENDINGS for packed in ("", ".gz"))
"""Of the files that are taken from a directory or from below a prefix."""

_WORDS: Final[Mapping[DatasetKind, re.Pattern[str]]] = {
    "interactions": re.compile(r"interaction|event|histor|click|purchase|rating"),
    "items": re.compile(r"item|product|catalog|article|movie"),
    "users": re.compile(r"user|customer|member"),
}
"""In this order: `user-item-interactions.csv` holds interactions."""


def find_datasets(
    urls: Sequence[str], named: Mapping[DatasetKind, Sequence[str]]
) -> tuple[dict[DatasetKind, list[StoredFile]], list[str]]:
    """The files of each dataset, and the addresses of those whose names say nothing.

    Args:
        urls: Files, directories, patterns, `s3://` prefixes; the names say what a file holds.
        named: The same, where the operator says what they hold.

    Raises:
        ConfigurationError: An address names no file, or none says what it holds.
    """
    found: dict[DatasetKind, list[StoredFile]] = {}
    unknown: list[str] = []
    for kind, addresses in named.items():
        if addresses:
            found[kind] = _find(addresses)
    for file in _find(urls) if urls else ():
        guessed = kind_of(file.url)
        if guessed is None:
            unknown.append(file.url)
        elif not named.get(guessed):
            found.setdefault(guessed, []).append(file)
    if not found:
        raise ConfigurationError(
            *(f"{url}: the name does not say what it holds; use --interactions, --items or --users" for url in unknown)
        )
    return {kind: found[kind] for kind in KINDS if kind in found}, unknown


def kind_of(url: str) -> DatasetKind | None:
    """What a file holds by its name, else by the name of its folder; None if neither says it."""
    for part in reversed(url.rstrip("/").split("/")[-2:]):
        for kind, words in _WORDS.items():
            if words.search(part.lower()):
                return kind
    return None


def _find(urls: Sequence[str]) -> list[StoredFile]:
    files, _ = find(urls, error=ConfigurationError, suffixes=SUFFIXES)
    return [file for file in files if file.size or not file.url.startswith("s3://")]
