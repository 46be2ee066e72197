"""What stands in the file of a large catalogue, by whichever way its lines were read, and how it is written."""

import io
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.catalog.adapters import sqlite_sink
from service.catalog.adapters.seal import SEAL_BYTES, digest_of, seal_of, seal_problem
from service.catalog.adapters.sqlite import SqliteCatalog, about_file, open_and_unlink
from service.catalog.adapters.sqlite_sink import PLACE_STEP, SqliteSink
from service.catalog.item import ROW_BYTES, CatalogRow
from service.catalog.reading import csv_rows, recipe, usual_lines
from service.catalog.reading.report import CatalogReport
from service.catalog.reading.rows import read_items
from service.catalog.reading.usual_lines import UsualLines
from service.errors import CatalogError
from tests.support.feeds import table


class Counted(SqliteSink):
    """Notes how many rows are written at once."""

    def __init__(self, path: Path) -> None:
        self.written: list[int] = []
        super().__init__(path)

    def _flush(self) -> None:
        self.written.append(len(self._batch) // 4)
        super()._flush()


@pytest.fixture
def sink(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "catalog.sqlite")


def stored(path: Path) -> tuple[Any, ...]:
    """All that a file holds."""
    connection = sqlite3.connect(path)
    try:
        items = connection.execute("SELECT line, id, eligible, item FROM item ORDER BY line").fetchall()
        traces = connection.execute("SELECT hashes, places FROM trace").fetchall()
        schema = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    finally:
        connection.close()
    return items, [tuple(list(array("q", one)) for one in trace) for trace in traces], schema


def read(text: str, path: Path) -> tuple[Any, ...]:
    path.touch()
    sink = SqliteSink(path)
    read_items(io.BytesIO(text.encode()), sink, label="feed", column_mapping={}, lines=sink)
    found = sink.finish()
    sink.seal({})
    return found, stored(path), about_file(path)["lines"]


ROWS = [{"price": f"{number}.50", "size": str(number)} for number in range(60)]


@pytest.mark.parametrize("waiting", [2, 10, 2_000])
@pytest.mark.parametrize("together", [1, 7, 250])
@pytest.mark.parametrize("witnesses", [0, 6, 50])
def test_the_quick_way_and_the_ordinary_one_write_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int, together: int, witnesses: int
) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 3)
    monkeypatch.setattr(usual_lines, "_MAX_TOGETHER", together)
    monkeypatch.setattr(sqlite_sink, "MAX_BATCH_ROWS", waiting)
    monkeypatch.setattr(sqlite_sink, "WITNESSES", witnesses)
    odd = [{"id": "same"}, {"image": "http://i/"}, {"name": ""}, {"id": "same"}, {"name": "A &amp; B"}, {"id": "same"}]
    text = table(*ROWS[:30], *({"size": "1", "price": "2.50", **one} for one in odd), *ROWS[30:], delimiter="\t")
    quick = read(text, tmp_path / "quick")
    with monkeypatch.context() as patch:
        patch.setattr(UsualLines, "of", lambda *_: None)
        assert read(text, tmp_path / "ordinary") == quick
    assert quick[0] == (2, [("same", 35), ("same", 37)])
    items, [(hashes, places)], _ = quick[1]
    assert len(items) == 63
    # The first rows are read again in every version, and so is one that shows more than its line.
    assert hashes.count(0) == {0: 1, 6: 7, 50: 48}[witnesses]
    assert places == [item[0] for item in items]
    assert places[0] == 2 << 20


def test_rows_are_written_when_so_many_or_so_large_ones_wait(sink: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_sink, "MAX_BATCH_ROWS", 3)
    monkeypatch.setattr(sqlite_sink, "MAX_BATCH_BYTES", 100)
    for number in range(7):
        sink.add(number, f"i{number}", b"x", eligible=True)
    assert sink.written == [3, 3]
    sink.add(7, "i7", b"x" * 98, eligible=True)
    assert sink.written == [3, 3]
    sink.add(8, "i8", b"x", eligible=True)
    assert sink.written == [3, 3, 3]
    sink.add(9, "i9", b"x" * 99, eligible=True)
    sink.add(10, "i10", b"x", eligible=True)
    assert sink.written == [3, 3, 3, 2]
    sink.add_lines(11, ["a", "b"], ["i11", "i12"], [b"x", b"y"])
    sink.add_lines(13, ["c"], ["i13"], [b"x"])
    assert sink.written == [3, 3, 3, 2, 3]
    sink.add_lines(14, ["d"], ["i14"], [b"x" * 99])
    sink.add_lines(15, ["e"], ["i15"], [b"x"])
    assert sink.written == [3, 3, 3, 2, 3, 2]
    sink.finish()
    sink.seal({})
    items, traces, schema = stored(sink._path)
    assert [(line // PLACE_STEP, item_id) for line, item_id, _, _ in items] == [(n, f"i{n}") for n in range(16)]
    assert traces == []
    assert schema == {"item", "about", "trace", "item_by_id"}


def test_a_new_file_waits_for_as_many_bytes_as_any(sink: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_sink, "MAX_BATCH_BYTES", 100)
    sink.add(1, "a", b"x" * 99, eligible=True)
    assert sink.written == []
    sink.add(2, "b", b"x", eligible=True)
    assert sink.written == [2]
    sink.close()


def test_rows_are_written_twenty_with_a_statement_in_pages_of_8_kib(sink: Counted) -> None:
    said: list[str] = []
    sink._connection.set_trace_callback(said.append)
    for number in range(45):
        sink.add(number, f"i{number}", b"x", eligible=True)
    sink.finish()
    sink.seal({})
    assert [one.count("'i") for one in said if one.startswith("INSERT INTO item")] == [20, 20, 1, 1, 1, 1, 1]
    assert int.from_bytes(sink._path.read_bytes()[16:18], "big") == 8_192


def test_what_was_read_in_vain_is_forgotten(sink: Counted) -> None:
    sink.add(1, "a", b"x", eligible=False)
    sink._flush()
    sink.add(2, "b", b"x", eligible=False)
    sink.clear()
    sink.add(3, "b", b"y", eligible=True)
    assert "b" not in sink
    assert sink.finish() == (0, [])
    sink.seal({"more": 1})
    items, _, schema = stored(sink._path)
    assert items == [(3 * PLACE_STEP, "b", 1, b"y")]
    assert "item_eligible" not in schema
    assert about_file(sink._path) == {"more": 1}


def test_of_rows_with_the_same_id_the_first_stays(sink: Counted) -> None:
    for number, item_id in enumerate("abacbaddddd", 1):
        sink.add(number, item_id, str(number).encode(), eligible=number != 3)
        sink.note("raw" * number, number)
    assert sink.finish() == (7, [("a", 3), ("b", 5), ("a", 6), ("d", 8), ("d", 9)])
    items, _, schema = stored_open(sink)
    assert [(item_id, record) for _, item_id, _, record in items] == [
        ("a", b"1"),
        ("b", b"2"),
        ("c", b"4"),
        ("d", b"7"),
    ]
    assert "item_eligible" in schema
    assert [place // PLACE_STEP for place in sink._places] == [1, 2, 4, 7]
    sink.close()


def stored_open(sink: SqliteSink) -> tuple[list[tuple[int, str, int, bytes]], None, set[str]]:
    execute = sink._connection.execute
    items = execute("SELECT line, id, eligible, item FROM item ORDER BY line").fetchall()
    return items, None, {name for (name,) in execute("SELECT name FROM sqlite_schema")}


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: content, ""),
        (lambda content: content[:-1], "is cut short, or no file of personalize-connect"),
        (lambda content: content[:-SEAL_BYTES], "is cut short, or no file of personalize-connect"),
        (lambda content: content[:SEAL_BYTES], "is cut short, or no file of personalize-connect"),
        (lambda content: content[-SEAL_BYTES:], "is cut short, or no file of personalize-connect"),
        (lambda _: b"", "is cut short, or no file of personalize-connect"),
        (lambda content: content[:5_000] + b"!" + content[5_001:], "is damaged"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is damaged"),
        (lambda content: b"x" + content[-SEAL_BYTES:], "is damaged"),
    ],
)
def test_the_seal_shows_that_a_file_is_as_it_was_written(
    sink: Counted, damage: Callable[[bytes], bytes], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.add(1, "a", b"x" * 3_000, eligible=True)
    sink.finish()
    sink.seal({})
    path = sink._path
    path.write_bytes(damage(path.read_bytes()))
    for chunk in (37, 1 << 20):
        monkeypatch.setattr("service.catalog.adapters.seal.READ_BYTES", chunk)
        with path.open("rb") as file:
            file.seek(3)
            assert seal_problem(file.fileno()) == problem
            assert file.tell() == 3
            if not problem:
                size = path.stat().st_size - SEAL_BYTES
                file.seek(size)
                assert file.read() == seal_of(digest_of(file.fileno(), size))
                assert digest_of(file.fileno()) == digest_of(file.fileno(), size + SEAL_BYTES)


def test_a_catalogue_in_a_file_is_read_a_few_rows_at_a_time(sink: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("MAX_FIRST_IDS", 5),
        ("MAX_FIRST_ROWS", 3),
        ("_MAX_IDS_AT_ONCE", 4),
        ("_MAX_WALKED_AT_ONCE", 3),
    ):
        monkeypatch.setattr(f"service.catalog.adapters.sqlite.{name}", value)
    ids = [f"i{number}" for number in range(23)]
    for number, item_id in enumerate(ids):
        sink.add(number, item_id, b'{"id":"%d"}\n[]' % number, eligible=number % 5 != 1)
    sink.finish()
    sink.seal({})
    closed: list[bool] = []
    report = CatalogReport(23, {}, lost=("gone",))
    catalog = SqliteCatalog(sink._path, columns=["size"], version=4, report=report, items=23, on_closed=closed.append)
    assert not catalog._unheld.atexit
    pragmas = [catalog._connection.execute(f"PRAGMA {name}").fetchone() for name in ("query_only", "cache_size")]
    assert pragmas == [(1,), (-16_384,)]
    asked: list[str] = []
    catalog._connection.set_trace_callback(asked.append)
    assert (catalog.version, catalog.columns, catalog.lost_columns, len(catalog), catalog.is_open) == (
        4,
        ("size",),
        ("gone",),
        23,
        False,
    )
    # The first rows are at hand, and so is each that was read.
    eligible = [item_id for number, item_id in enumerate(ids) if number % 5 != 1]
    assert [row and row.fragment for row in catalog.rows(eligible[:3])] == [b'{"id":"0"}', b'{"id":"2"}', b'{"id":"3"}']
    assert asked == []
    none, *rows = catalog.rows(["\ud800", *ids, "none", "i1"])
    assert none is None
    assert [row and (row.fragment, row.extras, row.eligible) for row in rows] == [
        *((b'{"id":"%d"}' % number, b"[]", number % 5 != 1) for number in range(23)),
        None,
        (b'{"id":"1"}', b"[]", False),
    ]
    assert len(asked) == 6
    asked.clear()
    assert catalog.rows(ids) == rows[:23]
    assert asked == []
    assert list(catalog.first_ids()) == eligible
    assert len(asked) == 5
    asked.clear()
    assert [(item_id, row.eligible) for item_id, row in catalog.all_rows()] == [
        (item_id, number % 5 != 1) for number, item_id in enumerate(ids)
    ]
    assert len(asked) == 9
    assert catalog.missing(["none"]) == []
    catalog.close()
    catalog.close()
    assert closed == [False]
    for look, found in (
        (lambda: catalog.rows(["none"]), [None]),
        (lambda: list(catalog.all_rows()), []),
        (lambda: list(catalog.first_ids()), eligible[:5]),
    ):
        catalog._logged = False
        with capture_logs() as logs:
            assert look() == look() == found
        assert [line["event"] for line in logs] == ["catalog_unreadable"]


@pytest.mark.parametrize(("room", "asked"), [(0, 0), (-1, 1)])
def test_a_row_that_fills_the_memory_for_rows_is_kept_there_and_a_larger_one_is_not(
    sink: Counted, monkeypatch: pytest.MonkeyPatch, room: int, asked: int
) -> None:
    sink.add(1, "a", b"{}\n[]", eligible=True)
    sink.finish()
    sink.seal({})
    monkeypatch.setattr("service.catalog.adapters.sqlite.MAX_HOT_BYTES", ROW_BYTES + 4 + room)
    report = CatalogReport(1, {})
    catalog = SqliteCatalog(sink._path, columns=[], version=1, report=report, items=1)
    said: list[str] = []
    catalog._connection.set_trace_callback(said.append)
    assert catalog.rows(["a"]) == [CatalogRow(b"{}", b"[]")]
    assert len(said) == asked
    catalog.close()


def test_a_file_that_is_gone_before_it_is_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.sqlite: cannot be read: unable to open database file"):
        open_and_unlink(tmp_path / "none.sqlite", columns=[], version=1, report=CatalogReport(0, {}), items=0)


def test_a_file_is_named_after_the_code_that_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "code.py"
    monkeypatch.setattr(recipe, "_code", lambda: [code, code])
    digests = set()
    for text in ("a", "b", "ab"):
        code.write_text(text)
        digests.add(recipe._code_digest.__wrapped__())
    assert len(digests) == 3
