"""Mistakes in the form of files and in their columns."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from service.pipeline.data.columns import Column, is_valid_name, metadata_of, required_of
from service.pipeline.data.findings import Finding
from service.pipeline.data.limits import (
    MAX_METADATA,
    REQUIRED,
    RESERVED,
    UNSENDABLE,
    DatasetKind,
    Domain,
)
from service.pipeline.data.tables import Dataset, LoadedFile
from service.pipeline.data.types import TypedColumn

_CONVERTED: Final = "`--fix DIR` writes plain CSV, and `train apply` uploads that"


def file_findings(dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with the files as such."""
    kind = dataset.kind
    for file in dataset.files:
        staged = file.staged
        forms = [name for name, is_so in (("gzip", staged.is_packed), (staged.format, staged.format != "csv")) if is_so]
        if forms:
            yield Finding(
                code="not-plain-csv", level="warning", dataset=kind, file=staged.name,
                message=f"is {' and '.join(forms)}, and Personalize imports plain CSV only", remedy=_CONVERTED,
            )  # fmt: skip
        if staged.not_utf8_at is not None:
            yield Finding(
                code="not-utf8", level="error", dataset=kind, file=staged.name, line=staged.not_utf8_at,
                message="is not UTF-8 from here on", remedy="Save it as UTF-8; `--fix DIR` reads it as Windows-1252",
            )  # fmt: skip
        elif staged.has_mark:
            yield Finding(
                code="byte-order-mark", level="error", dataset=kind, file=staged.name, line=1,
                message="begins with a byte order mark, which spoils the name of the first column",
                remedy="Save it without; `--fix DIR` writes it so",
            )  # fmt: skip
        if staged.bad_json_lines:
            yield Finding(
                code="malformed-row", level="error", dataset=kind, file=staged.name, line=staged.bad_json[0],
                count=staged.bad_json_lines, message=f"{staged.bad_json_lines:,} lines hold no flat JSON object",
                remedy="Correct them; `--fix DIR` leaves them out",
            )  # fmt: skip
        if staged.format == "csv":
            yield from _csv_findings(kind, file)
        if not file.rows and not file.malformed_lines and not file.is_headless:
            yield Finding(
                code="no-rows", level="error", dataset=kind, file=staged.name, message="holds no rows",
                remedy="Export it again",
            )  # fmt: skip


def _csv_findings(kind: DatasetKind, file: LoadedFile) -> Iterator[Finding]:
    name = file.staged.name
    if file.delimiter != ",":
        yield Finding(
            code="wrong-delimiter", level="error", dataset=kind, file=name, line=1,
            message=f"has {file.delimiter!r} between its cells, and Personalize reads commas",
            remedy="Write commas; `--fix DIR` does",
        )  # fmt: skip
    if file.has_quoted_header:
        yield Finding(
            code="quoted-header", level="error", dataset=kind, file=name, line=1,
            message="has quotes in its header, which become part of the columns' names",
            remedy="Write the header without; `--fix DIR` does",
        )  # fmt: skip
    if file.malformed_lines:
        count = len(file.malformed_lines)
        yield Finding(
            code="malformed-row", level="error", dataset=kind, file=name, line=file.malformed_lines[0], count=count,
            message=f"{count:,} {'row has' if count == 1 else 'rows have'} more or fewer cells than the header, or a"
            " quote that does not end",
            remedy="Correct them; `--fix DIR` leaves them out",
        )  # fmt: skip


def column_findings(dataset: Dataset, domain: Domain | None) -> Iterator[Finding]:
    """What is wrong with the names of the columns, and which are missing."""
    kind = dataset.kind
    for file in dataset.files:
        if file.is_headless:
            yield Finding(
                code="no-header", level="error", dataset=kind, file=file.staged.name, line=1,
                message="has a number in its first line, which must name the columns",
                remedy=f"Put a header before it, such as {','.join(REQUIRED[kind])}",
            )  # fmt: skip
            continue
        yield from _missing(kind, file, required_of(kind, domain))
        yield from _badly_named(kind, file)
        lower = [one.written for one in file.columns if one.is_renamed and one.written.upper() == one.name]
        lower = [name for name in lower if name.upper() not in {*REQUIRED[kind], *RESERVED[kind]}]
        if lower:
            yield Finding(
                code="not-upper-case", level="note", dataset=kind, file=file.staged.name, line=1, count=len(lower),
                message=f"{', '.join(lower)} are in upper case in the schema here, in filters and in what is uploaded",
                remedy="With a schema of your own, name them as the file does",
            )  # fmt: skip
    first = dataset.files[0]
    for file in dataset.files[1:]:
        before, here = {one.name for one in first.columns}, {one.name for one in file.columns}
        if before != here:
            yield Finding(
                code="columns-differ", level="error", dataset=kind, file=file.staged.name, line=1,
                count=len(before ^ here),
                message=f"has other columns than {first.staged.name}: {', '.join(sorted(before ^ here))}",
                remedy="All files of a dataset have one schema; `--fix DIR` writes one file with all columns",
            )  # fmt: skip


def _missing(kind: DatasetKind, file: LoadedFile, required: tuple[str, ...]) -> Iterator[Finding]:
    names = {column.name: column for column in file.columns}
    for name in required:
        if not file.columns:
            return
        column = names.get(name)
        if column is None:
            yield Finding(
                code="missing-column", level="error", dataset=kind, file=file.staged.name, line=1, column=name,
                message=f"there is no such column, and Personalize needs it; there are"
                f" {', '.join(one.written for one in file.columns)}",
                remedy="Add it",
            )  # fmt: skip
        elif column.is_renamed:
            yield _renamed(kind, file, column)


def _renamed(kind: DatasetKind, file: LoadedFile, column: Column) -> Finding:
    return Finding(
        code="column-name", level="error", dataset=kind, file=file.staged.name, line=1, column=column.name,
        message=f"is called {column.written!r} here", remedy=f"Rename it to {column.name}; `--fix DIR` does",
    )  # fmt: skip


def _badly_named(kind: DatasetKind, file: LoadedFile) -> Iterator[Finding]:
    written = [column.written.upper() for column in file.columns]
    for column in file.columns:
        if column.name in RESERVED[kind] and column.is_renamed:
            yield _renamed(kind, file, column)
        elif written.count(column.written.upper()) > 1 and column.written != column.name:
            if column.name != column.written.upper():
                yield Finding(
                    code="duplicate-column", level="error", dataset=kind, file=file.staged.name, line=1,
                    column=column.written, message="stands in the header twice, in whatever case",
                    remedy=f"Remove or rename one; `--fix DIR` calls the second {column.name}",
                )  # fmt: skip
        elif column.name not in REQUIRED[kind] and not is_valid_name(column.written):
            yield Finding(
                code="illegal-column-name", level="error", dataset=kind, file=file.staged.name, line=1,
                column=column.written,
                message="no schema can hold this name: letters, digits and _ are allowed, no digit first",
                remedy=f"Rename it; `--fix DIR` calls it {column.name}",
            )  # fmt: skip
        elif kind == "interactions" and _is_unsendable(column.name):
            yield Finding(
                code="unsendable-column", level="warning", dataset=kind, file=file.staged.name, line=1,
                column=column.written, message="PutEvents reserves this name, so no event can carry the column",
                remedy="Rename it before the first import, or leave it out",
            )  # fmt: skip


def _is_unsendable(name: str) -> bool:
    own = name in {*REQUIRED["interactions"], *RESERVED["interactions"]}
    return not own and name.replace("_", "").upper() in UNSENDABLE


def metadata_findings(dataset: Dataset, types: Mapping[str, TypedColumn]) -> Iterator[Finding]:
    """Too many further columns, too few, and empty ones."""
    kind = dataset.kind
    for name in metadata_of(kind, dataset.names):
        if types[name].is_empty and dataset.rows:
            yield Finding(
                code="empty-column", level="warning", dataset=kind, column=name, count=dataset.rows,
                file=dataset.files[0].staged.name, message="no row has a value",
                remedy="Leave it out; `--fix DIR` does",
            )  # fmt: skip
    metadata = [name for name in metadata_of(kind, dataset.names) if not types[name].is_empty or not dataset.rows]
    if len(metadata) > MAX_METADATA[kind]:
        yield Finding(
            code="too-many-columns", level="error", dataset=kind, file=dataset.files[0].staged.name,
            count=len(metadata),
            message=f"has {len(metadata)} metadata columns, and Personalize takes {MAX_METADATA[kind]}:"
            f" {', '.join(metadata)}",
            remedy=f"Leave some out; `--fix DIR` keeps the first {MAX_METADATA[kind]}",
        )  # fmt: skip
    if kind != "interactions" and not metadata and not any(name in RESERVED[kind] for name in dataset.names):
        yield Finding(
            code="no-metadata", level="error", dataset=kind, file=dataset.files[0].staged.name,
            message="has no column besides the id, and Personalize wants one at least",
            remedy="Add a column, or do without this dataset",
        )  # fmt: skip
    for name, same in groupby(sorted(dataset.names, key=str.lower), key=str.lower):
        if len(list(same)) > 1:
            yield Finding(
                code="duplicate-column", level="error", dataset=kind, file=dataset.files[0].staged.name, line=1,
                column=name.upper(), message="is there in two spellings", remedy="Keep one",
            )  # fmt: skip
