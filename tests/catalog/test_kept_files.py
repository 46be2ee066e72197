"""Files of large catalogues that outlive the process which made them."""

import asyncio
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import IO

import pytest
from structlog.testing import capture_logs

from service.catalog.adapters import file as file_source
from service.catalog.adapters.file import FileSource
from service.catalog.adapters.sqlite import SqliteCatalog
from service.catalog.reading.build import build
from service.catalog.reading.digests import digest_patiently
from service.catalog.reading.kept_files import Content, sweep
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError

EXCLUSION = 'EXCLUDE ItemID WHERE Items.SIZE IN ("0")'
ROWS = 40

pytestmark = pytest.mark.processes


def text(*, price: float = 5, rows: int = ROWS, columns: str = "size") -> str:
    header = f"id,url,name,price,image,{columns}\n"
    return header + "".join(f"id{n},http://u/{n},Item {n},{price},https://i/{n},{n % 7}\n" for n in range(rows))


class Shop:
    """A source, and the folder that replicas on one volume share."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "items.csv"
        self.data_dir = folder / "data"
        self.path.write_text(text())

    def replica(self, **other: object) -> FileSource:
        """What a process that starts reads by."""
        recipe = {"column_mapping": {}, "exclusion_filter": EXCLUSION, "data_dir": self.data_dir, **other}
        return FileSource(f"file://{self.path}", Recipe(**recipe))  # type: ignore[arg-type]  # as in the line above

    @property
    def files(self) -> list[Path]:
        return sorted(self.data_dir.iterdir()) if self.data_dir.is_dir() else []


async def loaded(source: FileSource, version: int = 1, known: tuple[str, ...] = ()) -> SqliteCatalog:
    catalog = await source.load(version, known)
    assert isinstance(catalog, SqliteCatalog)
    return catalog


def behind_the_last_reader() -> None:
    for thread in threading.enumerate():
        if thread.name == "catalog-close":
            thread.join()


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each child that was started; catalogues of more than ten rows need one."""
    started: list[str] = []
    start = asyncio.create_subprocess_exec

    async def counted(*arguments: str, **more: object) -> asyncio.subprocess.Process:
        started.append(arguments[-1])
        return await start(*arguments, **more)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    monkeypatch.setattr(file_source, "build", partial(build, max_memory_rows=10))
    return started


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    yield Shop(tmp_path)
    behind_the_last_reader()
    assert not [name for name in map(_target, os.listdir("/proc/self/fd")) if "kept-catalog-" in name]


def _target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


async def test_a_restart_uses_the_file_that_is_there(shop: Shop, builds: list[str]) -> None:
    first = await loaded(shop.replica())
    ids = [f"id{n}" for n in range(ROWS)]
    expected = (first.rows(ids), list(first.first_ids()), len(first), first.columns, first.report)
    first.close()
    [file] = shop.files
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    with capture_logs() as logs:
        again = await loaded(shop.replica(), version=7)
    assert (again.rows(ids), list(again.first_ids()), len(again), again.columns, again.report) == expected
    assert again.version == 7
    assert len(builds) == 1
    assert [(one["event"], one["items"]) for one in logs] == [("catalog_file_used", ROWS)]
    again.close()


async def test_a_touched_file_keeps_its_version_and_a_changed_one_of_the_same_size_does_not(
    shop: Shop, builds: list[str]
) -> None:
    source = shop.replica()
    (await loaded(source)).close()
    before = source.loaded_version
    os.utime(shop.path, (1, 1))
    assert await source.version() == before
    fresh = shop.path.with_name("fresh")
    fresh.write_text(text())
    fresh.replace(shop.path)
    assert await source.version() == before
    shop.path.write_text(text(price=6))
    os.utime(shop.path, (1, 1))
    assert await source.version() != before
    assert len(builds) == 1


async def test_other_settings_have_a_file_of_their_own(shop: Shop, builds: list[str]) -> None:
    for other in ({}, {"exclusion_filter": None}, {"column_mapping": {"name": "url"}}):
        (await loaded(shop.replica(**other))).close()
    assert len(builds) == 3


async def test_code_that_reads_otherwise_uses_no_file_of_other_code(
    shop: Shop, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (await loaded(shop.replica())).close()
    monkeypatch.setattr("service.catalog.reading.recipe._code_digest", lambda: b"another release")
    (await loaded(shop.replica())).close()
    assert len(builds) == 2


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(place: float) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * place))
            [byte] = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))

    return flip


def _foreign(path: Path) -> None:
    path.write_bytes(os.urandom(10_000))


@pytest.mark.parametrize("spoil", [_cut, _empty, _flip(0.3), _flip(0.99), _foreign])
async def test_a_file_that_is_not_as_it_was_written_is_rebuilt_and_the_log_says_so(
    shop: Shop, builds: list[str], spoil: Callable[[Path], None]
) -> None:
    (await loaded(shop.replica())).close()
    [file] = shop.files
    spoil(file)
    with capture_logs() as logs:
        catalog = await loaded(shop.replica())
    assert len(builds) == 2
    assert [one["event"] for one in logs] == ["catalog_file_unusable"]
    assert logs[0]["file"] == str(file)
    assert len([row for row in catalog.rows([f"id{n}" for n in range(ROWS)]) if row]) == ROWS
    catalog.close()
    (await loaded(shop.replica())).close()
    assert len(builds) == 2


async def test_two_replicas_on_one_volume_remove_what_neither_reads(shop: Shop, builds: list[str]) -> None:
    one, two = shop.replica(), shop.replica()
    old = await loaded(one)
    also_old = await loaded(two)
    assert (len(builds), len(shop.files)) == (1, 1)

    shop.path.write_text(text(price=6))
    new = await loaded(one, version=2)
    del old
    behind_the_last_reader()
    assert len(shop.files) == 2
    assert len([row for row in also_old.rows([f"id{n}" for n in range(ROWS)]) if row]) == ROWS

    newer = await loaded(two, version=2)
    assert len(builds) == 2
    del also_old
    behind_the_last_reader()
    assert len(shop.files) == 1
    sweep(shop.data_dir)
    assert len(shop.files) == 1
    for catalog in (new, newer):
        catalog.close()


async def test_a_changed_file_is_read_by_difference_also_over_a_restart(shop: Shop, builds: list[str]) -> None:
    lines = text(rows=2_000).splitlines(keepends=True)
    shop.path.write_text("".join(lines))
    (await loaded(shop.replica())).close()
    lines[1_500] = lines[1_500].replace(",5,", ",6,")
    del lines[1_000]
    shop.path.write_text("".join(lines))
    with capture_logs() as logs:
        catalog = await loaded(shop.replica())
    assert [(one["event"], one["rows"]) for one in logs] == [("catalog_read_by_difference", 1_999)]
    assert 1_900 < logs[0]["unchanged"] < 1_999
    assert [row and row.values(catalog.columns)["price"] for row in catalog.rows(["id998", "id999", "id1499"])] == [
        5,
        None,
        6,
    ]
    assert (len(catalog), len(builds)) == (1_999, 2)
    catalog.close()


async def test_columns_from_before_are_null_in_a_kept_file(shop: Shop, builds: list[str]) -> None:
    (await loaded(shop.replica())).close()
    catalog = await loaded(shop.replica(), known=("color", "size", "price"))
    assert (catalog.columns, catalog.lost_columns) == (("size", "color"), ("color",))
    [row] = catalog.rows(["id1"])
    assert row is not None
    assert row.values(catalog.columns)["color"] is None
    assert len(builds) == 1
    catalog.close()


async def test_what_changed_while_it_was_read_is_not_kept(shop: Shop, builds: list[str]) -> None:
    def refuse() -> None:
        raise CatalogError("was written to")

    recipe = Recipe({}, None, shop.data_dir)
    content = Content("some", check=refuse)
    for rows in (10, 10_000):
        with shop.path.open("rb") as stream, pytest.raises(CatalogError, match="written to"):
            await build(stream, label="x", recipe=recipe, version=1, content=content, max_memory_rows=rows)
    assert len(builds) == 1
    assert shop.files == []


async def test_a_file_that_changes_while_its_hash_is_taken_is_not_kept_under_it(
    shop: Shop, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(stream: IO[bytes], label: str) -> str:
        found = await digest_patiently(stream, label)
        shop.path.write_text(text(price=6, rows=2 * ROWS))
        return found

    monkeypatch.setattr(file_source, "digest_patiently", slowly)
    with pytest.raises(CatalogError, match="was written to while it was read"):
        await shop.replica().load(1)
    assert (len(builds), shop.files) == (1, [])


async def test_a_full_disk_is_one_line_and_leaves_nothing(
    shop: Shop, builds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child may write no file above 64 KiB, as on a disk that is full then."""
    shop.path.write_text(text(rows=20_000))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -f 64\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(CatalogError, match="DATA_DIR .*: the catalogue cannot be stored: "):
        await shop.replica().load(1)
    assert len(builds) == 1
    assert shop.files == []
