import asyncio
import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.catalog.adapters.memory import MemoryCatalog
from service.catalog.adapters.sqlite import MAX_FIRST_IDS, MAX_FIRST_ROWS, SqliteCatalog, open_and_unlink
from service.catalog.adapters.sqlite_sink import SqliteSink
from service.catalog.ports import ItemCatalog
from service.catalog.reading.build import build, read_into_memory
from service.catalog.reading.data_dir import prepare
from service.catalog.reading.exclusion import exclusion_of
from service.catalog.reading.recipe import Recipe
from service.catalog.reading.report import CatalogReport
from service.catalog.reading.rows import read_items
from service.errors import CatalogError
from tests.support.examples import examples
from tests.support.waiting import until

HEADER = "id,url,name,price,image"


def rows(count: int, *, price: float = 5) -> str:
    return "".join(f"id{n},http://u/{n},Item {n},{price},https://i/{n},{n % 7}\n" for n in range(count))


def sqlite_catalog(source: Path, directory: Path, exclusion_filter: str | None = None) -> SqliteCatalog:
    directory.mkdir(exist_ok=True)
    path = directory / "catalog-test.sqlite"
    sink = SqliteSink(path)
    with source.open("rb") as stream:
        columns, tally, report = read_items(
            stream,
            sink,
            label=str(source),
            column_mapping={},
            exclusion=exclusion_of(exclusion_filter),
        )
    duplicates, _ = sink.finish()
    sink.seal({})
    items = tally.items - duplicates
    return open_and_unlink(path, columns=columns.further, version=1, report=report, items=items)


def memory_catalog(source: Path, exclusion_filter: str | None = None) -> MemoryCatalog:
    with source.open("rb") as stream:
        return read_into_memory(
            stream,
            label=str(source),
            column_mapping={},
            version=1,
            exclusion=exclusion_of(exclusion_filter),
        )


async def built(
    path: Path, data_dir: Path, *, exclusion_filter: str | None = None, max_memory_rows: int = 10
) -> ItemCatalog:
    with path.open("rb") as stream:
        return await build(
            stream,
            label=path.name,
            recipe=Recipe({}, exclusion_filter, data_dir),
            version=3,
            max_memory_rows=max_memory_rows,
        )


def open_files() -> list[str]:
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue
    return [name for name in names if "catalog-" in name]


async def closed() -> None:
    """A thread closes a catalogue without a reader; the thread that opened it may be one for a moment longer."""
    await until(lambda: not open_files())


@pytest.fixture
async def data_dir(tmp_path: Path) -> AsyncIterator[Path]:
    directory = tmp_path / "data"
    yield directory
    assert not directory.exists() or not list(directory.iterdir())
    await closed()


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
CELLS = st.one_of(TEXTS, st.sampled_from(["1", "2.5", "007", "", "a|b", "-3"]))
IDS = st.one_of(st.sampled_from(["a", "b", "c"]), TEXTS)
ROWS = st.lists(st.tuples(IDS, CELLS, st.sampled_from(["1", "9.5", "", "x", "9,50 EUR"]), CELLS, CELLS), max_size=12)


@pytest.mark.long
@examples(60, shares_fixtures=True)
@given(records=ROWS, asked=st.lists(st.one_of(IDS, st.text(max_size=2)), max_size=9), json_lines=st.booleans())
def test_both_engines_answer_alike(
    tmp_path: Path, records: list[tuple[str, ...]], asked: list[str], *, json_lines: bool
) -> None:
    names = ("id", "name", "price", "size", "color")
    objects = [
        {"id": "sure", "name": "n", "price": "1", "size": "1", "color": "red", "url": "http://u", "image": "https://i"},
        *({**dict(zip(names, record, strict=True)), "url": "http://u", "image": "https://i"} for record in records),
    ]
    path = tmp_path / ("items.jsonl" if json_lines else "items.csv")
    if json_lines:
        path.write_text("\n".join(json.dumps(one) for one in objects))
    else:
        lines = [",".join(f'"{str(one[n]).replace(chr(34), chr(34) * 2)}"' for n in objects[0]) for one in objects]
        path.write_text("\n".join([",".join(objects[0]), *lines]), newline="")
    expression = 'EXCLUDE ItemID WHERE Items.SIZE IN ("a") OR Items.PRICE > 5'
    memory = memory_catalog(path, expression)
    sqlite = sqlite_catalog(path, tmp_path / "data", expression)
    assert sqlite.columns == memory.columns
    assert len(sqlite) == len(memory)
    assert list(sqlite.first_ids()) == list(memory.first_ids())
    ids = [*asked, *(record[0] for record in records), "sure"]
    assert sqlite.rows(ids) == memory.rows(ids)
    assert sqlite.rows(ids) == memory.rows(ids)


@pytest.mark.processes
async def test_few_rows_stay_in_memory_and_many_go_to_a_file_without_a_name(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(10)}")
    assert isinstance(await built(path, data_dir), MemoryCatalog)
    path.write_text(f"{HEADER},size\n{rows(MAX_FIRST_IDS + 11)}")
    catalog = await built(path, data_dir)
    assert isinstance(catalog, SqliteCatalog)
    assert (catalog.version, len(catalog), tuple(catalog.columns)) == (3, MAX_FIRST_IDS + 11, ("size",))
    assert list(data_dir.iterdir()) == []
    (row,) = catalog.rows(["id7"])
    assert row is not None
    assert row.extras == b"[0]"
    catalog.close()
    assert catalog.rows([f"id{MAX_FIRST_IDS + 8}"]) == [None]


@pytest.mark.processes
async def test_the_beginning_of_a_large_catalogue_needs_no_file_once_it_is_open(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(MAX_FIRST_IDS + 200)}")
    catalog = await built(path, data_dir, exclusion_filter='EXCLUDE ItemID WHERE Items.SIZE IN ("0")')
    assert isinstance(catalog, SqliteCatalog)
    catalog.close()
    popular = list(catalog.first_ids())
    assert popular == [f"id{n}" for n in range(MAX_FIRST_IDS + 200) if n % 7][:MAX_FIRST_IDS]
    assert None not in catalog.rows(popular[:MAX_FIRST_ROWS])


@pytest.mark.processes
async def test_a_catalogue_closes_itself_only_behind_its_last_reader(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(2000)}")
    catalog = await built(path, data_dir)
    reader = iter(catalog.first_ids())
    assert next(reader) == "id0"
    del catalog
    assert open_files()
    assert len(list(reader)) == 1999
    del reader
    await closed()


@pytest.mark.processes
async def test_the_child_reports_what_is_not_shown(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv.gz"
    text = f"{HEADER},size\n{rows(20)}id3,http://u,n,1,https://i,1\nid3,http://u,n,1,https://i,1\nx,http://u,,1,https://i,1\n"
    path.write_bytes(gzip.compress(text.encode()))
    catalog = await built(path, data_dir, exclusion_filter='EXCLUDE ItemID WHERE Items.SIZE IN ("0", "1")')
    assert isinstance(catalog, SqliteCatalog)
    assert catalog.report == CatalogReport(
        23,
        {"missing_name": 1, "duplicate": 2},
        {"missing_name": ("x (line 24)",), "duplicate": ("id3 (line 22)", "id3 (line 23)")},
    )
    assert len(catalog) == 20
    assert [row and row.eligible for row in catalog.rows(["id0", "id2", "id3"])] == [False, True, True]
    assert list(catalog.first_ids())[:3] == ["id2", "id3", "id4"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("content", "exclusion_filter", "words"),
    [
        (f"{HEADER},size\n{rows(20)}", 'EXCLUDE ItemID WHERE Items.COLOR IN ("x")', "^EXCLUSION_FILTER: line 1"),
        (f"{HEADER},size\n{rows(20)}", "EXCLUDE ItemID WHERE Items.COLOR > $X", "^EXCLUSION_FILTER: .*COLOR"),
        (f"{HEADER},size\n{rows(20)}", "EXCLUDE", "^EXCLUSION_FILTER: line 1, column 8"),
        (f"{HEADER},size\n" + ",,,,,\n" * 20, None, "no usable row .20 missing_id"),
        (f"{HEADER},size\n" + '"\n' * 20, None, "no usable row .20 malformed.*line 2"),
    ],
)
async def test_what_cannot_work_in_the_child_is_one_line(
    tmp_path: Path, data_dir: Path, content: str, exclusion_filter: str | None, words: str
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(content)
    with pytest.raises(CatalogError, match=words) as caught:
        await built(path, data_dir, exclusion_filter=exclusion_filter)
    assert "\n" not in str(caught.value)


@pytest.mark.processes
async def test_a_column_of_numbers_that_ends_in_text_is_text_in_every_row(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(5000)}last,http://u,n,1,https://i,XL\n")
    catalog = await built(path, data_dir)
    assert [row and row.extras for row in catalog.rows(["id1", "last"])] == [b'["1"]', b'["XL"]']
    assert len(catalog) == 5001


async def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(20)}")
    (tmp_path / "taken").touch()
    with pytest.raises(CatalogError, match=r"DATA_DIR .*taken: cannot be written: (File exists|Not a directory)$"):
        await built(path, tmp_path / "taken")


@pytest.mark.processes
async def test_a_cancelled_build_leaves_nothing_behind(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(100_000)}")
    building = asyncio.create_task(built(path, data_dir))
    await until(lambda: any(data_dir.glob("catalog-*")))
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert not list(data_dir.iterdir())


@pytest.mark.processes
async def test_a_killed_builder_is_an_error_and_its_file_is_swept_out(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(100_000)}")
    building = asyncio.create_task(built(path, data_dir))
    await until(lambda: any(data_dir.glob("catalog-*")))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (builder,) = (c for c in children if b"catalog.reading.child" in Path(f"/proc/{c}/cmdline").read_bytes())
    os.kill(int(builder), signal.SIGKILL)
    with pytest.raises(CatalogError, match="has ended"):
        await building
    assert list(data_dir.glob("catalog-*"))
    prepare(data_dir)


def test_a_file_in_use_by_another_process_is_not_swept_out(tmp_path: Path) -> None:
    used, left = tmp_path / "catalog-used.sqlite", tmp_path / "catalog-left.sqlite"
    left.touch()
    with used.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        prepare(tmp_path)
        assert list(tmp_path.iterdir()) == [used]


@pytest.mark.processes
def test_a_builder_ends_with_its_parent_and_takes_its_file_along(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},size\n{rows(200_000)}")
    data_dir = tmp_path / "data"
    program = (
        "import asyncio, pathlib, sys; from service.catalog.reading.build import build\n"
        "from service.catalog.reading.recipe import Recipe\n"
        "stream = open(sys.argv[1], 'rb'); recipe = Recipe({}, None, pathlib.Path(sys.argv[2]))\n"
        "asyncio.run(build(stream, label='x', recipe=recipe, version=1, max_memory_rows=1))\n"
    )
    parent: subprocess.Popen[Any]
    with subprocess.Popen([sys.executable, "-c", program, str(path), str(data_dir)]) as parent:
        while not data_dir.exists() or not list(data_dir.glob("catalog-*")):
            assert parent.poll() is None
        parent.kill()
    while list(data_dir.iterdir()):
        pass
