"""How the rows of a source become a catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows become items, and where they are kept."""

    column_mapping: Mapping[str, str]
    """Our name to the source's, for columns that are called otherwise."""

    exclusion_filter: str | None
    """The operator's filter; one with placeholders is only checked."""

    data_dir: Path
    """Where files are written; it is made when it is needed."""
