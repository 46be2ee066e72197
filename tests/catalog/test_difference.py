"""A changed source, read by its difference from the version before: the same as if it were read whole."""

import os
import random
import sqlite3
from array import array
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.catalog.adapters import difference_sink
from service.catalog.adapters.difference_sink import DifferenceSink
from service.catalog.adapters.seal import seal_of
from service.catalog.adapters.sqlite import SqliteCatalog, open_and_unlink
from service.catalog.adapters.sqlite_sink import SqliteSink
from service.catalog.reading import csv_rows
from service.catalog.reading.exclusion import exclusion_of
from service.catalog.reading.ports import Unlike
from service.catalog.reading.rows import read_items

EXCLUSION = 'EXCLUDE ItemID WHERE Items.SIZE IN ("3")'
HEADER = "id,url,name,price,image,size,color\n"

Version = list[str]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a short file meets."""
    monkeypatch.setattr("service.catalog.adapters.sqlite_sink.WITNESSES", 1)
    monkeypatch.setattr(difference_sink, "_NEAR", 3)
    monkeypatch.setattr(difference_sink, "MIN_CHANGED", 6)


class Read:
    """A version that was read, whole or by difference; its file stays, to be the base of the next."""

    def __init__(self, lines: Version, folder: Path, base: Path | None = None, *, header: str = HEADER) -> None:
        source, self.path = folder / "items.csv", folder / f"{len(list(folder.iterdir()))}.sqlite"
        source.write_text(header + "".join(lines), newline="")
        self.path.touch()
        if base is None:
            sink = SqliteSink(self.path)
        else:
            descriptor = os.open(base, os.O_RDONLY)
            try:
                sink = DifferenceSink(self.path, descriptor)
            finally:
                os.close(descriptor)
        try:
            with source.open("rb") as stream:
                columns, tally, report = read_items(
                    stream, sink, label="x", column_mapping={}, exclusion=exclusion_of(EXCLUSION), lines=sink
                )
            count, first = sink.finish()
            for item_id, line in first:
                tally.drop("duplicate", item_id, line)
            if count:
                tally.dropped["duplicate"] = count
            sink.seal({"columns": columns.further})
        finally:
            sink.close()
        self.kept = sink.kept
        self.report = tally.report(report.notes, report.lost, report.guessed)
        self.columns = columns.further
        self.items = tally.items

    def content(self, ids: list[str]) -> tuple[object, ...]:
        """All that a reader sees of it."""
        copy = self.path.with_suffix(".copy")
        copy.write_bytes(self.path.read_bytes())
        catalog: SqliteCatalog = open_and_unlink(
            copy, columns=self.columns, version=1, report=self.report, items=self.items
        )
        try:
            return catalog.rows(ids), list(catalog.first_ids()), len(catalog), self.columns, self.report
        finally:
            catalog.close()

    @property
    def trace(self) -> tuple[list[int], list[int]]:
        """What it knows of its lines: their hashes and places."""
        with closing(sqlite3.connect(self.path)) as connection:
            found = connection.execute("SELECT hashes, places FROM trace").fetchone()
        return list(array("q", found[0])), list(array("q", found[1]))


IDS = [f"i{number}" for number in range(9)]
LINES = st.builds(
    lambda item_id, price, image, size, color: f"{item_id},http://u,n,{price},{image}://i,{size},{color}\n",
    st.sampled_from(IDS),
    st.sampled_from(["1", "2.5", "7", "", "x", "1.299", "9,5"]),
    st.sampled_from(["https", "http", "no"]),
    st.sampled_from(["1", "2", "3", "", "XL"]),
    st.sampled_from(["red", "blue", "", "5"]),
)
ODD = st.sampled_from(
    ['i1,http://u,"a\nb",1,https://i,1,red\n', '"\n', "\n", "i2,u\n", 'i3,http://u,n,1,https://i,1,"red"\n']
)
VERSIONS = st.lists(st.one_of(LINES, LINES, LINES, ODD), min_size=1, max_size=12)
USUAL = "sure,http://u,n,1,https://i,1,red\n"
EDITS = st.lists(st.tuples(st.sampled_from(["drop", "add", "replace", "move"]), st.integers(0, 12), LINES), max_size=4)


def edited(lines: Version, edits: list[tuple[str, int, str]]) -> Version:
    lines = list(lines)
    for what, wished, line in edits:
        place = min(wished, len(lines) - 1)
        if what == "add":
            lines.insert(place, line)
        elif lines and what == "drop":
            del lines[place]
        elif lines and what == "replace":
            lines[place] = line
        elif lines:
            lines.insert(0, lines.pop(place))
    return lines


@pytest.mark.long
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=VERSIONS, turns=st.lists(EDITS, min_size=1, max_size=3))
def test_what_is_read_by_difference_is_what_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: Version, turns: list[list[tuple[str, int, str]]]
) -> None:
    folder = tmp_path_factory.mktemp("versions")
    before = Read([USUAL, *lines], folder).path
    for edits in turns:
        lines = edited(lines, edits)
        whole = Read([USUAL, *lines], folder)
        try:
            by_difference = Read([USUAL, *lines], folder, before)
        except Unlike:
            before = whole.path
        else:
            assert by_difference.content([*IDS, "sure"]) == whole.content([*IDS, "sure"])
            before = by_difference.path


def shop(count: int) -> Version:
    return [f"id{n},http://u/{n},Item {n},{n}.5,https://i/{n},{n % 3},color{n % 5}\n" for n in range(count)]


def test_only_lines_that_differ_are_read(tmp_path: Path) -> None:
    rng = random.Random(1)
    lines = shop(400)
    before = Read(lines, tmp_path)
    for number in rng.sample(range(400), 8):
        lines[number] = lines[number].replace(".5,https", ".75,https")
    del lines[100:110]
    lines[200:200] = [line.replace("id", "new") for line in shop(5)]
    lines.insert(3, lines.pop(50))
    after = Read(lines, tmp_path, before.path)
    whole = Read(lines, tmp_path)
    ids = [f"{kind}{n}" for kind in ("id", "new") for n in range(400)]
    assert after.content(ids) == whole.content(ids)
    assert 370 < after.kept < 390


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [line.replace("id", "other") for line in lines],
        lambda lines: lines[::-1],
        lambda lines: [*lines[:30], lines[30].replace(",0,", ",XL,"), *lines[31:]],
        lambda lines: [line.rsplit(",", 1)[0] + ",5\n" for line in lines],
        lambda lines: [*lines, "late,http://u,n,1.299,https://i,1,red\n"],
    ],
    ids=[
        "all-ids",
        "reversed",
        "a-column-of-numbers-is-text-now",
        "a-column-of-text-is-numbers-now",
        "a-doubtful-price",
    ],
)
def test_what_differs_in_more_than_lines_is_read_whole(tmp_path: Path, change: Callable[[Version], Version]) -> None:
    before = Read(shop(60), tmp_path)
    with pytest.raises(Unlike):
        Read(change(shop(60)), tmp_path, before.path)


def test_a_base_that_is_not_whole_is_none(tmp_path: Path) -> None:
    before = Read(shop(60), tmp_path)
    with before.path.open("r+b") as file:
        file.seek(9_000)
        file.write(b"\0\1")
    with pytest.raises(Unlike):
        Read(shop(60), tmp_path, before.path)


def new(number: int, **changed: str) -> str:
    cells = {"id": f"new{number}", "price": "1.5", "image": "https://i/", "size": "1", "color": "red", **changed}
    return "{id},http://u/,New,{price},{image},{size},{color}\n".format(**cells)


NEW = [new(number) for number in range(20)]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        # The first row, which shows what columns hold, is read in every version.
        (lambda lines: lines, 59),
        (lambda lines: [*lines[:30], NEW[0], *lines[31:]], 58),
        (lambda lines: [NEW[0], *lines[1:]], 59),
        (lambda lines: [*lines[:-1], NEW[0]], 58),
        (lambda lines: [*lines[:30], *NEW[:2], *lines[30:]], 59),
        (lambda lines: [*NEW[:2], *lines], 59),
        (lambda lines: [*lines, *NEW[:2]], 59),
        # Of lines that are gone, three are looked over at once, and more when as many were read anew.
        (lambda lines: [*lines[:30], *lines[32:]], 57),
        (lambda lines: [*lines[:30], *lines[33:]], 53),
        (lambda lines: [*lines[:30], *lines[40:]], 46),
        (lambda lines: lines[5:], 52),
        (lambda lines: lines[:-5], 54),
        # A row that moves is read at its new place.
        (lambda lines: [*lines[:10], lines[20], *lines[10:20], *lines[21:]], 58),
        (lambda lines: [lines[2], *lines[:2], *lines[3:]], 58),
        # Rows with the id of an earlier one, and rows that are not shown.
        (lambda lines: [*lines[:30], new(0, id="id3"), *lines[30:]], 59),
        (lambda lines: [*lines[:30], new(0, id="id50"), *lines[30:]], 59),
        (lambda lines: [*lines[:30], new(0, image="no"), new(1, price="free"), *lines[30:]], 59),
        (lambda lines: [*lines[:30], new(0, image="http://i/"), *lines[30:]], 59),
        (lambda lines: [*lines[:30], "\n", "cut\n", *lines[30:]], 59),
        (lambda lines: [*lines[:30], '"open\n', *lines[30:]], 59),
        # What an exclusion keeps from every answer.
        (lambda lines: [*lines[:30], new(0, size="3"), *lines[30:]], 59),
        # So many may be new, or gone.
        (lambda lines: [*lines, *NEW[:17]], 59),
        (lambda lines: [*lines, *NEW[:18]], None),
        (lambda lines: lines[:43], 42),
        (lambda lines: lines[:42], None),
        (lambda lines: [*lines[:43], *NEW[:17]], 42),
    ],
)
def test_of_a_changed_file_just_what_differs_is_read(
    tmp_path: Path, change: Callable[[Version], Version], kept: int | None
) -> None:
    before = Read(shop(60), tmp_path)
    lines = change(shop(60))
    if kept is None:
        with pytest.raises(Unlike):
            Read(lines, tmp_path, before.path)
        return
    ids = [f"id{n}" for n in range(60)] + [f"new{n}" for n in range(20)]
    after, whole = Read(lines, tmp_path, before.path), Read(lines, tmp_path)
    assert after.content(ids) == whole.content(ids)
    assert after.kept == kept
    assert {*after.trace[0]} <= {*whole.trace[0], *before.trace[0]}
    # And once more from what was read by difference.
    again = Read([*lines, NEW[19]], tmp_path, after.path)
    assert again.content(ids) == Read([*lines, NEW[19]], tmp_path).content(ids)
    assert again.kept >= kept


def test_a_row_at_the_place_of_one_that_is_gone_stays_however_often_rows_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.catalog.adapters.sqlite_sink.MAX_BATCH_ROWS", 1)
    lines = shop(30)
    before = Read(lines, tmp_path)
    lines[9] = NEW[0]
    ids = ["new0", *(f"id{number}" for number in range(30))]
    assert Read(lines, tmp_path, before.path).content(ids) == Read(lines, tmp_path).content(ids)


def test_a_short_file_may_differ_in_some_rows_at_least(tmp_path: Path) -> None:
    before = Read(shop(10), tmp_path)
    assert Read([*shop(10), *NEW[:5]], tmp_path, before.path).kept == 9
    with pytest.raises(Unlike):
        Read([*shop(10), *NEW[:6]], tmp_path, before.path)


def test_reading_ends_with_the_row_that_is_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Read(shop(10), tmp_path)
    added: list[str] = []
    add = DifferenceSink.add

    def counted(sink: DifferenceSink, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        added.append(item_id)
        add(sink, line, item_id, record, eligible=eligible)

    monkeypatch.setattr(DifferenceSink, "add", counted)
    with pytest.raises(Unlike):
        Read([*shop(10), *NEW], tmp_path, before.path)
    assert added == ["id0", *(f"new{number}" for number in range(6))]


@pytest.mark.parametrize("again", [DifferenceSink.give_up, DifferenceSink.clear])
def test_nothing_is_read_twice_by_difference(again: Callable[[DifferenceSink], None]) -> None:
    with pytest.raises(Unlike):
        again(cast(DifferenceSink, None))


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("color", "colour"),
        HEADER.replace("color", "color,"),
        HEADER.replace(",", ";"),
        HEADER.replace("size,color", "color,size"),
    ],
)
def test_another_header_makes_another_file(tmp_path: Path, header: str) -> None:
    before = Read(shop(30), tmp_path)
    lines = [line.replace(",", header[2]) for line in shop(30)]
    with pytest.raises(Unlike):
        Read(lines, tmp_path, before.path, header=header)


def test_differences_upon_differences_end_with_reading_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference_sink, "MAX_GENERATIONS", 2)
    path = Read(shop(30), tmp_path).path
    for _ in range(2):
        path = Read(shop(30), tmp_path, path).path
    with pytest.raises(Unlike):
        Read(shop(30), tmp_path, path)


def test_rows_between_two_others_are_so_many_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sqlite_sink", "difference_sink"):
        monkeypatch.setattr(f"service.catalog.adapters.{module}.PLACE_STEP", 4)
    before = Read(shop(30), tmp_path)
    lines = shop(30)
    for number, is_room in ((3, True), (4, False)):
        changed = [*lines[:9], *NEW[:number], *lines[9:]]
        if is_room:
            after = Read(changed, tmp_path, before.path)
            assert after.content(["new2"]) == Read(changed, tmp_path).content(["new2"])
        else:
            with pytest.raises(Unlike):
                Read(changed, tmp_path, before.path)
    # Before the first of them there is less.
    assert Read([*NEW[:2], *lines], tmp_path, before.path).trace[1][:4] == [3, 6, 9, 12]
    # At the end there is room for all.
    assert Read([*lines, *NEW[:5]], tmp_path, before.path).trace[1][1:] == [*range(12, 148, 4)]


def test_lines_as_long_as_one_can_be_are_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (csv_rows, difference_sink):
        monkeypatch.setattr(module, "MAX_LINE_CHARACTERS", max(map(len, shop(30))))
    after = Read(shop(30), tmp_path, Read(shop(30), tmp_path).path)
    assert after.kept == 29
    # Nothing is left out, so no index of what is shown is made.
    with closing(sqlite3.connect(after.path)) as connection:
        assert ("item_eligible",) not in connection.execute("SELECT name FROM sqlite_schema").fetchall()


@pytest.mark.parametrize("size", [1, 64, 4_096, 1 << 20])
def test_a_base_is_copied_and_checked_whatever_is_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    before = Read(shop(12), tmp_path)
    monkeypatch.setattr(difference_sink, "READ_BYTES", size if size > 1 else 37)
    assert Read(shop(12), tmp_path, before.path).kept == 11
    whole = before.path.read_bytes()
    for spoilt in (*(whole[:-cut] for cut in (1, 40, 64, 10_000_000)), seal_of(sha256().digest())):
        short = tmp_path / "short.sqlite"
        short.write_bytes(spoilt)
        with pytest.raises(Unlike):
            Read(shop(12), tmp_path, short)


def test_a_column_that_only_differing_rows_show_to_be_text_is_read_whole(tmp_path: Path) -> None:
    """The first rows are read in every version: they show which columns are text."""
    lines = [new(number, color="5") for number in range(20)]
    before = Read([new(30), *lines], tmp_path)
    after = Read([new(31), *lines], tmp_path, before.path)
    assert after.content(["new3"]) == Read([new(31), *lines], tmp_path).content(["new3"])
    for first in (new(31, color="5"), new(31, color="")):
        with pytest.raises(Unlike):
            Read([first, *lines], tmp_path, before.path)
    numbers = Read([new(30, color="5"), *lines], tmp_path)
    with pytest.raises(Unlike):
        Read([new(31), *lines], tmp_path, numbers.path)
