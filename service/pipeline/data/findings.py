"""What is wrong with data, or worth knowing."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.pipeline.data.limits import DatasetKind

Level = Literal["error", "warning", "note"]
"""error: Amazon refuses the data or cannot train on it. warning: lists will suffer, or `--fix` has to convert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of mistake in one place."""

    code: str
    """Names the kind, for scripts: `timestamp-not-seconds`."""

    level: Level

    dataset: DatasetKind

    message: str
    """What is wrong, with the bound and an example."""

    remedy: str
    """The way out."""

    file: str = ""
    """Where it is first; empty: in no file in particular."""

    line: int | None = None
    """The first line, counted from 1; in Parquet the row."""

    column: str = ""

    count: int = 1
    """How many rows, ids or columns."""

    def text(self) -> str:
        """One line for a person."""
        place = ":".join(filter(None, (self.file or self.dataset, str(self.line or ""))))
        column = f"{self.column}: " if self.column else ""
        return f"{self.level:7} {place}: {column}{self.message}. {self.remedy}. [{self.code}]"

    def as_json(self) -> dict[str, Any]:
        """The same as values."""
        return asdict(self)
