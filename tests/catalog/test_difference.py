"""A changed source, read by its difference from the version before: the same as if it were read whole."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.catalog.adapters import difference_sink
from service.catalog.adapters.difference_sink import DifferenceSink
from service.catalog.adapters.sqlite import SqliteCatalog, open_and_unlink
from service.catalog.adapters.sqlite_sink import SqliteSink
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
    monkeypatch.setattr(difference_sink, "_MIN_CHANGED", 6)


class Read:
    """A version that was read, whole or by difference; its file stays, to be the base of the next."""

    def __init__(self, lines: Version, folder: Path, base: Path | None = None) -> None:
        source, self.path = folder / "items.csv", folder / f"{len(list(folder.iterdir()))}.sqlite"
        source.write_text(HEADER + "".join(lines), newline="")
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
