"""Mistakes in single cells: one condition in SQL for each kind of mistake."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from service.pipeline.data.findings import Finding, Level
from service.pipeline.data.limits import (
    EARLIEST_PLAUSIBLE,
    MAX_CATEGORICAL_CHARACTERS,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_IMPRESSION_CHARACTERS,
    MAX_SECONDS,
    MAX_TEXT_CHARACTERS,
    REQUIRED,
)
from service.pipeline.data.tables import Dataset, Workspace, quoted
from service.pipeline.data.types import NULL_WORDS, TypedColumn

FUTURE_SECONDS: Final = 86_400
"""A timestamp further in the future than this is a mistake; nearer it may be a clock or a time zone."""

MAX_SHOWN: Final = 40

_MENDED: Final = "`--fix DIR` writes it right"


@dataclass(frozen=True, slots=True)
class CellCheck:
    """A kind of mistake in one column."""

    code: str
    level: Level
    column: str

    condition: str
    """SQL over `v`, the cell as text, NULL where it is empty; `t`, the same without blanks around it; `n`, the number
    that it is, else NULL."""

    message: str
    """What is said, with `{count}`, `{example}`."""

    remedy: str


def cell_findings(
    workspace: Workspace, dataset: Dataset, types: Mapping[str, TypedColumn], now: float
) -> Iterator[Finding]:
    """What is wrong in the cells, column by column, with the first line of each kind."""
    for name, column in types.items():
        checks = list(_checks(dataset, column, now))
        if not checks:
            continue
        counts = ", ".join(
            f"{what} FILTER ({one.condition})" for one in checks for what in ("count(*)", "min(r)", "arg_min(v, r)")
        )
        [row] = workspace.ask(f"""
            SELECT {counts}
            FROM (SELECT *, TRY_CAST(t AS DOUBLE) AS n
                  FROM (SELECT rowid AS r, {quoted(name)} AS v, nullif(trim({quoted(name)}), '') AS t
                        FROM {dataset.kind}))""")
        for at, check in enumerate(checks):
            count, first, example = row[3 * at : 3 * at + 3]
            if count:
                file, line = dataset.place(first)
                said = f"{example[:MAX_SHOWN]}..." if example and len(example) > MAX_SHOWN else example
                rows = "1 row" if count == 1 else f"{count:,} rows"
                yield Finding(
                    code=check.code,
                    level=check.level,
                    dataset=dataset.kind,
                    file=file,
                    line=line,
                    column=name,
                    count=count,
                    message=check.message.format(count=rows, example=repr(said)),
                    remedy=check.remedy,
                )


def _checks(dataset: Dataset, column: TypedColumn, now: float) -> Iterator[CellCheck]:
    name = column.name
    if name in {"TIMESTAMP", "CREATION_TIMESTAMP"}:
        yield from _timestamp_checks(name, now, is_required=name in REQUIRED[dataset.kind])
    elif name in {"USER_ID", "ITEM_ID"}:
        yield from _id_checks(name)
    elif name == "EVENT_TYPE":
        yield from _event_type_checks(name)
    elif name == "IMPRESSION":
        yield _too_long(name, MAX_IMPRESSION_CHARACTERS, "impression-too-long")
    elif column.is_empty:
        return
    elif column.type in {"int", "long", "float", "double"}:
        code = "event-value-not-number" if name == "EVENT_VALUE" else "value-not-number"
        yield CellCheck(
            code, "error", name, "t IS NOT NULL AND (n IS NULL OR NOT isfinite(n))",
            "{count} hold no number, the others do; first {example}", f"Correct or empty them; {_MENDED} as empty",
        )  # fmt: skip
    elif column.type == "boolean":
        yield CellCheck(
            "boolean-not-lower-case", "error", name, "t IS NOT NULL AND t NOT IN ('true', 'false')",
            "{count} hold neither true nor false in lower case; first {example}", f"Write true or false; {_MENDED}",
        )  # fmt: skip
    else:
        yield from _text_checks(column)


def _timestamp_checks(name: str, now: float, *, is_required: bool) -> Iterator[CellCheck]:
    whole = "regexp_full_match(t, '-?[0-9]+')"
    if is_required:
        yield CellCheck(
            "timestamp-empty", "error", name, "t IS NULL", "{count} have none", f"Leave these rows out; {_MENDED}"
        )
    yield CellCheck(
        "timestamp-not-number", "error", name, "t IS NOT NULL AND (n IS NULL OR NOT isfinite(n))",
        "{count} hold no whole number of Unix seconds; first {example}",
        f"Write seconds since 1970, such as 1740988143; {_MENDED} where it is a date",
    )  # fmt: skip
    yield CellCheck(
        "timestamp-not-seconds", "error", name, f"isfinite(n) AND abs(n) >= {MAX_SECONDS}",
        "{count} count milliseconds or finer, not seconds; first {example}", f"Divide by 1000; {_MENDED}",
    )  # fmt: skip
    yield CellCheck(
        "timestamp-not-whole", "error", name, f"isfinite(n) AND abs(n) < {MAX_SECONDS} AND NOT {whole}",
        "{count} are not written as a whole number; first {example}", f"Write them without a fraction; {_MENDED}",
    )  # fmt: skip
    yield CellCheck(
        "timestamp-in-the-future", "warning", name, f"n > {now + FUTURE_SECONDS} AND n < {MAX_SECONDS} AND {whole}",
        "{count} are in the future; first {example}", "Check the clock or the unit that wrote them",
    )  # fmt: skip
    yield CellCheck(
        "timestamp-implausible", "warning", name, f"n < {EARLIEST_PLAUSIBLE} AND n > -{MAX_SECONDS} AND {whole}",
        "{count} are before the year 2000; first {example}", "Check the unit: Personalize reads seconds since 1970",
    )  # fmt: skip


def _id_checks(name: str) -> Iterator[CellCheck]:
    words = ", ".join(f"'{word}'" for word in NULL_WORDS)
    yield CellCheck(
        "id-empty", "error", name, "t IS NULL", "{count} have no id", f"Leave these rows out; {_MENDED}"
    )  # fmt: skip
    yield CellCheck(
        "id-is-null-word", "error", name, f"t IN ({words})", "{count} hold {example}, a word for no value",
        f"Leave these rows out; {_MENDED}",
    )  # fmt: skip
    yield CellCheck(
        "id-too-long", "error", name, f"length(v) > {MAX_ID_CHARACTERS}",
        f"{{count}} have an id of more than {MAX_ID_CHARACTERS} characters; first {{example}}",
        "Use a shorter id, a hash of it, say; `--fix DIR` leaves these rows out",
    )  # fmt: skip
    yield _blanks(name, "id-with-blanks", "id")
    yield CellCheck(
        "id-written-as-float", "warning", name, "regexp_full_match(t, '[0-9]+[.]0')",
        "{count} hold a whole number with a fraction, as pandas writes ids; first {example}",
        "Read the column as text before you export it, so that it agrees with what you ask for",
    )  # fmt: skip


def _blanks(name: str, code: str, what: str) -> CellCheck:
    return CellCheck(
        code, "warning", name, "t IS NOT NULL AND t <> v",
        f"{{count}} have blanks around the {what}, which make it another one; first {{example}}",
        f"Remove them; {_MENDED}",
    )  # fmt: skip


def _event_type_checks(name: str) -> Iterator[CellCheck]:
    yield CellCheck(
        "event-type-empty", "error", name, "t IS NULL", "{count} have no event type",
        "Give these rows a type or leave them out; `--fix DIR` leaves them out",
    )  # fmt: skip
    yield _too_long(name, MAX_EVENT_TYPE_CHARACTERS, "event-type-too-long")
    yield _blanks(name, "event-type-with-blanks", "event type")


def _text_checks(column: TypedColumn) -> Iterator[CellCheck]:
    words = ", ".join(f"'{word}'" for word in NULL_WORDS)
    yield CellCheck(
        "null-word", "warning", column.name, f"t IN ({words})",
        "{count} hold {example}, which Personalize takes for a value", f"Leave the cell empty; {_MENDED}",
    )  # fmt: skip
    yield CellCheck(
        "decimal-comma", "warning", column.name, "regexp_full_match(t, '-?[0-9]+,[0-9]+')",
        "{count} hold a number with a comma, which Personalize takes for text; first {example}",
        "Write a point, so that the column is one of numbers",
    )  # fmt: skip
    if column.type == "categorical":
        yield _too_long(column.name, MAX_CATEGORICAL_CHARACTERS, "category-too-long")
    elif column.type == "textual":
        yield _too_long(column.name, MAX_TEXT_CHARACTERS, "text-too-long")


def _too_long(name: str, most: int, code: str) -> CellCheck:
    return CellCheck(
        code, "error", name, f"length(v) > {most}",
        f"{{count}} have more than {most:,} characters; first {{example}}", "Shorten them; `--fix DIR` cuts them off",
    )  # fmt: skip
