"""A file as it is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class StoredBytes(Protocol):
    """The bytes of a file as they are stored.

    Both methods raise `OSError`, or the error that `find` was given, when the file cannot be read.
    """

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most this many; empty at the end."""

    def close(self) -> None:
        """Give back what is open."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file, wherever it is."""

    url: str

    size: int
    """Bytes as stored."""

    made_at: float
    """Unix seconds of its last change."""

    version: str
    """Changes with the content."""

    stored_from: Callable[[int], StoredBytes]
    """The bytes as stored, from this one on."""
