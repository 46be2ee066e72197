"""A check as people and scripts read it."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from service.pipeline.data.check import CheckReport
from service.pipeline.data.history import History

_BARS: Final = " ▁▂▃▄▅▆▇█"
_WIDTH: Final = 30


def lines(report: CheckReport) -> Iterator[str]:
    """The report, a line at a time: the data, its picture, then what is wrong with it."""
    for kind, dataset in report.datasets.items():
        files = f"{len(dataset.files)} files" if len(dataset.files) > 1 else dataset.files[0].staged.name
        yield f"{kind}: {dataset.rows:,} rows, {files}"
        for column in report.types.get(kind, {}).values():
            null = ", not in every row" if column.is_nullable and not column.is_empty else ""
            distinct = f", about {column.distinct:,} values" if column.distinct else ""
            yield f"  {column.name:24} {'empty' if column.is_empty else column.type}{distinct}{null}"
    if report.history is not None:
        yield from _history_lines(report.history)
    yield ""
    for finding in report.findings:
        yield finding.text()
    errors = sum(finding.level == "error" for finding in report.findings)
    warnings = sum(finding.level == "warning" for finding in report.findings)
    verdict = "Personalize can import this and train on it" if report.is_fine else "Personalize would refuse this"
    yield f"{verdict}: {errors} errors, {warnings} warnings"


def _history_lines(history: History) -> Iterator[str]:
    yield ""
    yield (
        f"{history.users:,} users, {history.returning_users:,} with two interactions or more; {history.items:,} items, "
        f"{history.new_items:,} of them new in the last tenth of the time"
    )
    yield f"sparsity {history.sparsity:.4%}; {history.duplicates:,} duplicate rows"
    if history.event_types:
        most = max(history.event_types.values())
        for name, count in list(history.event_types.items())[:15]:
            yield f"  {name[:24]:24} {count:>12,} {_bar(count / most)}"
    if history.activity and history.oldest is not None and history.newest is not None:
        yield f"activity  {_day(history.oldest)} {sparkline(history.activity)} {_day(history.newest)}"
    if history.lengths:
        yield "interactions of a user: " + ", ".join(f"{name} {n:,}" for name, n in history.lengths.items())
    yield "popularity: " + ", ".join(f"{name} of items have {share:.0%}" for name, share in history.popularity.items())


def as_json(report: CheckReport) -> dict[str, Any]:
    """The report as values."""
    return {
        "ok": report.is_fine,
        "findings": [finding.as_json() for finding in report.findings],
        "datasets": {
            kind: {"rows": dataset.rows, "files": [file.staged.name for file in dataset.files]}
            for kind, dataset in report.datasets.items()
        },
        "schemas": report.schemas(),
        "history": report.history.as_json() if report.history else None,
    }


def sparkline(counts: list[int]) -> str:
    """Counts as a row of bars; only what is nothing is blank."""
    most = max(counts, default=0)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] if most else " " for count in counts)


def _bar(share: float) -> str:
    return "█" * max(round(share * _WIDTH), 1)


def _day(moment: int) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(moment, dt.UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return str(moment)
