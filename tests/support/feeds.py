"""Feeds read as the service reads them, without a service: what comes of them in one value."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.catalog.reading.build import read_into_memory
from service.catalog.reading.exclusion import exclusion_of
from service.catalog.reading.origins import column_pairs
from service.errors import CatalogError

ROW = {"id": "{}", "url": "https://u/{}", "name": "Name", "price": "5", "image": "https://i/{}"}
"""What a cell holds unless a test says otherwise; `{}` is the row's number, from 1."""


class Reading(NamedTuple):
    """What comes of a feed."""

    items: list[dict[str, Any]]
    """Every column by name."""

    dropped: Mapping[str, list[str]]
    """The rows that are named, by reason."""

    notes: list[str]
    rows: int
    columns: Sequence[str]
    lost: list[str]
    guessed: str
    ineligible: list[str]

    def values(self, name: str) -> list[Any]:
        """A column."""
        return [item[name] for item in self.items]

    @property
    def ids(self) -> list[str]:
        """Of the items, in order."""
        return self.values("id")


def read(
    content: str | bytes,
    *,
    columns: str = "",
    exclusion: str | None = None,
    known: Sequence[str] = (),
    max_rows: int | None = None,
) -> Reading:
    """Read a feed.

    Args:
        content: The feed.
        columns: As in `CATALOG_COLUMNS`.
        exclusion: As in `EXCLUSION_FILTER`.
        known: Columns from before.
        max_rows: Most rows.
    """
    catalog = read_into_memory(
        io.BytesIO(content.encode() if isinstance(content, str) else content),
        label="feed",
        column_mapping=dict(column_pairs(columns)),
        version=1,
        exclusion=exclusion_of(exclusion),
        known=known,
        max_rows=max_rows,
    )
    assert not catalog.is_open
    report = catalog.report
    assert report.dropped.keys() == report.examples.keys()
    return Reading(
        [row.values(catalog.columns) for _, row in catalog.all_rows()],
        {reason: list(lines) for reason, lines in report.examples.items()},
        list(report.notes),
        report.rows,
        catalog.columns,
        list(report.lost),
        report.guessed,
        [item_id for item_id, row in catalog.all_rows() if not row.eligible],
    )


def refusal(content: str | bytes, **options: Any) -> str:  # noqa: ANN401  # as `read` takes them
    """The line with which a feed is refused."""
    try:
        found = read(content, **options)
    except CatalogError as error:
        [problem] = error.problems
        assert problem.startswith("feed: ") or "CATALOG_COLUMNS" in problem, problem
        return problem.removeprefix("feed: ")
    raise AssertionError(found)


def table(*rows: Mapping[str, str], delimiter: str = ";", end: str = "\n") -> str:
    """A CSV file of rows, in each of which a test says only what matters; no cell is quoted."""
    names = [*ROW, *dict.fromkeys(name for row in rows for name in row if name not in ROW)]
    lines = [delimiter.join(names)]
    for number, row in enumerate(rows, 1):
        lines.append(delimiter.join(row.get(name, ROW.get(name, "").format(number)) for name in names))
    return end.join([*lines, ""])
