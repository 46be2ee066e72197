"""Data written anew, so that it passes: one CSV and one schema a dataset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from service.errors import ConfigurationError
from service.pipeline.data.check import CheckReport
from service.pipeline.data.columns import metadata_of
from service.pipeline.data.history import History
from service.pipeline.data.limits import (
    MAX_CATEGORICAL_CHARACTERS,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_IMPRESSION_CHARACTERS,
    MAX_METADATA,
    MAX_SECONDS,
    MAX_TEXT_CHARACTERS,
    REQUIRED,
    DatasetKind,
)
from service.pipeline.data.tables import Dataset, Workspace, literal, quoted
from service.pipeline.data.types import NULL_WORDS, TypedColumn, schema_of

_IDS = ("USER_ID", "ITEM_ID")


def fix(workspace: Workspace, report: CheckReport, folder: Path) -> Iterator[str]:
    """Write the datasets into a folder, and say what was written and what was left out.

    Raises:
        ConfigurationError: The folder cannot be written, or holds a file that was read.
    """
    read = {file.staged.path.resolve() for dataset in report.datasets.values() for file in dataset.files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, types in report.types.items():
            dataset = report.datasets[kind]
            path = folder / f"{kind}.csv"
            if path.resolve() in read:
                raise ConfigurationError(f"{path}: is one of the files to mend; give another directory")
            if not dataset.rows or not set(REQUIRED[kind]) <= types.keys():
                yield f"{path}: not written, a required column or all rows are missing"
                continue
            written = write(workspace, dataset, types, report.history, path)
            kept = kept_columns(dataset, types)
            schema = schema_of(kind, {name: types[name] for name in kept})
            path.with_name(f"{kind}.schema.json").write_text(f"{json.dumps(schema, indent=2)}\n", "utf-8")
            left = f", {dataset.rows - written:,} left out" if written < dataset.rows else ""
            yield f"{path}: {written:,} rows{left}"
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written: {error.strerror}") from error


def kept_columns(dataset: Dataset, types: Mapping[str, TypedColumn]) -> list[str]:
    """The columns that are written: none that is empty, and no more metadata than Personalize takes."""
    kind = dataset.kind
    filled = [name for name in dataset.names if not types[name].is_empty or name in REQUIRED[kind]]
    metadata = metadata_of(kind, filled)
    dropped = set(metadata[MAX_METADATA[kind] :])
    ordered = [*REQUIRED[kind], *(name for name in filled if name not in REQUIRED[kind])]
    return [name for name in ordered if name not in dropped]


def write(
    workspace: Workspace,
    dataset: Dataset,
    types: Mapping[str, TypedColumn],
    history: History | None,
    path: Path,
    *,
    names: Sequence[str] = (),
) -> int:
    """Write one dataset as CSV; how many rows it has.

    Args:
        workspace: Has its rows.
        dataset: Is written.
        types: Of its columns.
        history: Knows whether rows repeat.
        path: The file.
        names: The columns, all that are kept if empty.
    """
    kind = dataset.kind
    names = names or kept_columns(dataset, types)
    cells = ", ".join(f"{_cell(types[name], history)} AS {quoted(name)}" for name in names)
    required = [*REQUIRED[kind], *(name for name in names if name == "EVENT_TYPE")]
    conditions = [f"{quoted(name)} IS NOT NULL" for name in required]
    conditions += [f"length({quoted(name)}) <= {MAX_ID_CHARACTERS}" for name in required if name in _IDS]
    once = ", ".join(quoted(name) for name in (names if kind == "interactions" else REQUIRED[kind]))
    keeps_once = _has_repeats(history, kind)
    rows = f"SELECT rowid AS _row, {cells} FROM {kind}"
    kept = f"SELECT * FROM ({rows}) WHERE {' AND '.join(conditions)}"
    if keeps_once:
        # A window over rows of any width would not fit into the memory; row numbers do.
        which = "min" if kind == "interactions" else "max"
        kept += f" AND _row IN (SELECT {which}(_row) FROM ({rows}) GROUP BY hash({once}))"
    chosen = ", ".join(quoted(name) for name in names)
    [(count,)] = workspace.ask(
        f"COPY (SELECT {chosen} FROM ({kept})) TO {literal(str(path))} (FORMAT csv, HEADER, DELIMITER ',')"
    )
    return int(count)


def _has_repeats(history: History | None, kind: DatasetKind) -> bool:
    return kind != "interactions" or history is None or history.duplicates > 0


def _cell(column: TypedColumn, history: History | None) -> str:  # noqa: PLR0911  # one rule for each kind of column
    """The mended value of a column, in SQL; NULL where there is none."""
    name = quoted(column.name)
    text = f"nullif(trim({name}), '')"
    words = ", ".join(f"'{word}'" for word in NULL_WORDS)
    value = f"CASE WHEN {text} NOT IN ({words}) THEN {text} END"
    if column.name in {"TIMESTAMP", "CREATION_TIMESTAMP"}:
        return _seconds(text)
    if column.name in _IDS:
        return value
    if column.name == "EVENT_TYPE":
        cases = "".join(f" WHEN {literal(name)} THEN {literal(first)}" for name, first in _spellings(history).items())
        cut = f"left({text}, {MAX_EVENT_TYPE_CHARACTERS})"
        return f"CASE {text}{cases} ELSE {cut} END" if cases else cut
    if column.name == "IMPRESSION":
        return f"left({value}, {MAX_IMPRESSION_CHARACTERS})"
    if column.type in {"int", "long", "float", "double"}:
        return f"CASE WHEN isfinite(TRY_CAST({text} AS DOUBLE)) THEN {text} END"
    if column.type == "boolean":
        return f"CASE WHEN lower({text}) IN ('true', 'false') THEN lower({text}) END"
    most = {"categorical": MAX_CATEGORICAL_CHARACTERS, "textual": MAX_TEXT_CHARACTERS}.get(column.type)
    return f"left({value}, {most})" if most else value


def _seconds(text: str) -> str:
    """Unix seconds from seconds, milliseconds, micro- or nanoseconds, or a date."""
    number = f"TRY_CAST({text} AS DOUBLE)"
    whole = f"coalesce(TRY_CAST({text} AS HUGEINT), TRY_CAST(floor({number}) AS HUGEINT))"
    steps = "".join(
        f" WHEN abs({number}) >= {MAX_SECONDS * 1000**power} THEN TRY_CAST({whole} // {1000 ** (power + 1)} AS BIGINT)"
        for power in (2, 1, 0)
    )
    return (
        f"CASE WHEN {number} IS NULL THEN TRY_CAST(epoch(TRY_CAST({text} AS TIMESTAMPTZ)) AS BIGINT)"
        f" WHEN NOT isfinite({number}) THEN NULL{steps} ELSE TRY_CAST(floor({number}) AS BIGINT) END"
    )


def _spellings(history: History | None) -> dict[str, str]:
    """What each event type is to be written as, where it differs."""
    first: dict[str, str] = {}
    for name in history.event_types if history else ():
        first.setdefault(name.lower(), name)
    return {
        name: first[name.lower()] for name in (history.event_types if history else ()) if first[name.lower()] != name
    }
