"""The program of the child process that reads a large catalogue into an SQLite file.

Its first line of standard input is its job in JSON, and it answers with a line of JSON. When its standard input is
closed, which also happens when its parent dies, it ends and takes its file with it.
"""

import io
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson

from service.catalog.adapters.difference_sink import DifferenceSink
from service.catalog.adapters.sqlite_sink import SqliteSink
from service.catalog.reading.data_dir import new_file
from service.catalog.reading.exclusion import exclusion_of
from service.catalog.reading.lines import BUFFER_BYTES
from service.catalog.reading.patience import STALL_SECONDS, Stalled, WatchedFile
from service.catalog.reading.ports import Unlike
from service.catalog.reading.rows import read_items
from service.errors import CatalogError


def _main() -> None:
    job: dict[str, Any] = orjson.loads(sys.stdin.buffer.readline())
    os.nice(job["niceness"])
    with new_file(Path(job["data_dir"])) as path:
        over = threading.Event()
        # SQLite makes the file again if it opens one that has just been taken away.
        opening = threading.Lock()

        def leave_with_parent() -> None:
            sys.stdin.buffer.read()
            over.set()
            with opening:
                path.unlink(missing_ok=True)
                os._exit(0)

        threading.Thread(target=leave_with_parent, daemon=True).start()
        watched = WatchedFile(job["descriptor"])
        threading.Thread(target=_give_up_when_stalled, args=(watched, job["label"]), daemon=True).start()
        _say(_answer(job, path, watched, opening))
        over.wait()


def _say(answer: Mapping[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


def _give_up_when_stalled(watched: WatchedFile, label: str) -> None:
    while watched.stalled_seconds <= STALL_SECONDS:
        time.sleep(1)
    _say({"problems": [f"{label}: cannot be read: {Stalled(STALL_SECONDS)}"]})


def _answer(job: Mapping[str, Any], path: Path, watched: WatchedFile, opening: threading.Lock) -> dict[str, object]:
    try:
        if job["base"] is not None:
            with suppress(Unlike):
                return _written(job, path, watched, opening)
        return _written({**job, "base": None}, path, watched, opening)
    except CatalogError as error:
        return {"problems": error.problems}
    except (sqlite3.Error, OSError) as error:  # what reading raises is a CatalogError
        return {"problems": [f"DATA_DIR {job['data_dir']}: the catalogue cannot be stored: {error}"]}


def _written(job: Mapping[str, Any], path: Path, watched: WatchedFile, opening: threading.Lock) -> dict[str, object]:
    with opening:
        if job["base"] is None:
            os.truncate(path, 0)
            sink = SqliteSink(path)
        else:
            sink = DifferenceSink(path, job["base"])
    with closing(sink):
        return _work(job, path, watched, sink)


def _work(job: Mapping[str, Any], path: Path, watched: WatchedFile, sink: SqliteSink) -> dict[str, object]:
    """Fill the file; what the parent needs to know of it."""
    label = job["label"]
    stream = io.BufferedReader(watched, BUFFER_BYTES)
    try:
        columns, tally, report = read_items(
            stream,
            sink,
            label=label,
            column_mapping=job["column_mapping"],
            exclusion=exclusion_of(job["exclusion_filter"]),
            known=job["known"],
            lines=sink,
        )
    finally:
        stream.detach()  # it may be read once more
    count, first = sink.finish()
    for item_id, line in first:
        tally.drop("duplicate", item_id, line)
    if count:
        tally.dropped["duplicate"] = count
    if not tally.items:
        raise tally.nothing_usable(label)
    about = {
        "recipe": job["recipe"],
        "content": job["content"],
        "source": job["source"],
        "items": tally.items,
        "columns": columns.further,
        "taken": [origin.column for origin in columns.ours.values() if origin.column is not None],
        "report": tally.report(report.notes, report.lost, report.guessed).packed(),
    }
    sink.seal(about)
    return {"path": str(path), "about": about, "kept": sink.kept, "rows": tally.rows}


if __name__ == "__main__":
    _main()
