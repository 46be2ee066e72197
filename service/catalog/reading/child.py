"""The program of the child process that reads a large catalogue into an SQLite file.

Its first line of standard input is its job in JSON, and it answers with a line of JSON. When its standard input is
closed, which also happens when its parent dies, it ends and takes its file with it.
"""

import os
import sqlite3
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from service.catalog.adapters.sqlite import SqliteSink
from service.catalog.reading.data_dir import new_file
from service.catalog.reading.exclusion import exclusion_of
from service.catalog.reading.rows import read_items
from service.errors import CatalogError


def _main() -> None:
    job: dict[str, Any] = orjson.loads(sys.stdin.buffer.readline())
    os.nice(job["niceness"])
    with new_file(Path(job["data_dir"])) as path:
        over = threading.Event()

        def leave_with_parent() -> None:
            sys.stdin.buffer.read()
            over.set()
            path.unlink(missing_ok=True)
            os._exit(0)

        threading.Thread(target=leave_with_parent, daemon=True).start()
        answer = _answer(job, path)
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()
        over.wait()


def _answer(job: Mapping[str, Any], path: Path) -> dict[str, object]:
    try:
        return _work(job, path)
    except CatalogError as error:
        return {"problems": error.problems}
    except sqlite3.Error as error:
        return {"problems": [f"DATA_DIR {job['data_dir']}: the catalogue cannot be stored: {error}"]}


def _work(job: Mapping[str, Any], path: Path) -> dict[str, object]:
    """Fill the file; what the parent needs to know of it."""
    label = job["label"]
    with (
        os.fdopen(job["descriptor"], "rb") as stream,
        closing(SqliteSink(path)) as sink,
    ):
        stream.seek(0)
        columns, tally = read_items(
            stream,
            job["name"],
            sink,
            label=label,
            column_mapping=job["column_mapping"],
            exclusion=exclusion_of(job["exclusion_filter"]),
        )
        count, first = sink.finish()
    for item_id, line in first:
        tally.drop("duplicate", item_id, line)
    if count:
        tally.dropped["duplicate"] = count
    if not tally.items:
        raise tally.nothing_usable(label)
    report = tally.report()
    return {
        "path": str(path),
        "items": tally.items,
        "columns": columns.further,
        "rows": report.rows,
        "dropped": dict(report.dropped),
        "examples": dict(report.examples),
        "named": tally.named,
    }


if __name__ == "__main__":
    _main()
