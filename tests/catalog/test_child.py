"""The child that writes the file of a large catalogue: what it is asked, what it answers, and what becomes of its file.

It runs in this process here, where it takes milliseconds.
"""

import asyncio
import fcntl
import io
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from structlog.testing import capture_logs

from service.catalog.adapters.memory import MemoryCatalog
from service.catalog.adapters.sqlite import SqliteCatalog
from service.catalog.reading import child, in_child, kept_files
from service.catalog.reading.build import build
from service.catalog.reading.data_dir import new_file, prepare
from service.catalog.reading.kept_files import Content, KeptFiles, kept_in, opened_safely, sweep
from service.catalog.reading.patience import STALL_SECONDS, WatchedFile
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError
from tests.support.feeds import table

FEED = table(*({"price": f"{number}.50", "size": str(number % 3)} for number in range(1, 41)))
EXCLUSION = 'EXCLUDE ItemID WHERE Items.SIZE IN ("0")'


class Child:
    """A process as asyncio shows one."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.started: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.answer: bytes | None = None
        """What it says instead of its own answer."""
        self.is_open = False
        self.is_ended = False
        self._files = ExitStack()

    async def start(self, *arguments: str, **more: Any) -> "Child":  # noqa: ANN401  # as asyncio's own
        self.started.append((arguments, more))
        self.is_open, self.is_ended = True, False
        return self

    @property
    def stdin(self) -> "Child":
        return self

    @property
    def stdout(self) -> "Child":
        return self

    def write(self, line: bytes) -> None:
        self.jobs.append(orjson.loads(line))

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def readline(self) -> bytes:
        if self.answer is not None:
            return self.answer
        job = self.jobs[-1]
        path = self._files.enter_context(new_file(Path(job["data_dir"])))
        watched = WatchedFile(os.dup(job["descriptor"]))
        self._files.callback(watched.close)
        return orjson.dumps(child._answer(job, path, watched, threading.Lock()))

    def close(self) -> None:
        self.is_open = False

    async def wait(self) -> int:
        assert not self.is_open
        self._files.close()
        self.is_ended = True
        return 0


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Child:
    found = Child()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", found.start)
    return found


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    for thread in threading.enumerate():
        if thread.name == "catalog-close":
            thread.join()


async def built(feed: str, data_dir: Path, **options: Any) -> SqliteCatalog:  # noqa: ANN401  # as `build` takes them
    folder = data_dir.parent
    path = folder / "feed.csv"
    path.write_text(feed)
    recipe = options.pop("recipe", Recipe({}, options.pop("exclusion", None), data_dir))
    with path.open("rb") as stream:
        catalog = await build(
            stream, label="feed", recipe=recipe, version=options.pop("version", 3), max_memory_rows=10, **options
        )
    assert isinstance(catalog, SqliteCatalog)
    return catalog


async def test_a_file_of_a_large_catalogue_is_made_of_what_the_operator_says(process: Child, data_dir: Path) -> None:
    recipe = Recipe({"name": "name"}, EXCLUSION, data_dir)
    catalog = await built(FEED, data_dir, recipe=recipe, known=["gone", "size"])
    [job] = process.jobs
    assert job.pop("descriptor") > 2
    assert job == {
        "base": None, "label": "feed", "known": ["gone", "size"], "column_mapping": {"name": "name"},
        "exclusion_filter": EXCLUSION, "data_dir": str(data_dir), "niceness": 0, "recipe": recipe.digest,
        "content": "", "source": "",
    }  # fmt: skip
    [(arguments, more)] = process.started
    assert arguments[1:] == ("-m", "service.catalog.reading.child")
    assert len(more["pass_fds"]) == 1
    assert more["env"]["PYTHONHASHSEED"] == "0"
    assert more["env"]["SQLITE_TMPDIR"] == str(data_dir)
    assert process.is_ended
    assert list(data_dir.iterdir()) == []
    assert (catalog.version, catalog.columns, catalog.lost_columns, len(catalog)) == (
        3,
        ("size", "gone"),
        ("gone",),
        40,
    )
    assert list(catalog.first_ids()) == [str(number) for number in range(1, 41) if number % 3]
    catalog.close()


async def test_a_kept_file_is_found_by_its_content_and_its_source_and_its_recipe(
    process: Child, data_dir: Path
) -> None:
    content = Content("c" * 64, "feed etag")
    first = await built(FEED, data_dir, content=content)
    [file] = kept_in(data_dir)
    assert process.jobs[-1]["niceness"] == 0
    recipe = Recipe({}, None, data_dir)
    kept = KeptFiles(recipe, "feed")
    assert re.fullmatch(rf"kept-catalog-{recipe.digest}-c{{24}}-[0-9a-f]{{16}}\.sqlite", file.name)
    assert len(recipe.digest) == 16
    assert kept.are_there()
    assert kept.max_items() == 40
    for found in ({"content": "c" * 64}, {"source": "feed etag"}, {"content": "c" * 64, "source": "other"}):
        again = kept.find(**found, version=9)
        assert again is not None
        assert (again.version, again.columns, len(again), again.report) == (9, first.columns, 40, first.report)
        again.close()
    for other in ({"content": "d" * 64}, {"source": "feed other"}, {}):
        assert kept.find(**other, version=9) is None
    lost = kept.find(content="c" * 64, version=9, known=["size", "gone", "price"])
    assert lost is not None
    assert (lost.columns, lost.lost_columns) == (("size", "gone"), ("gone",))
    lost.close()
    others = KeptFiles(Recipe({}, EXCLUSION, data_dir), "feed")
    assert others.find(content="c" * 64, version=9) is None
    assert (others.are_there(), others.max_items(), others.base()) == (False, 0, None)
    # Another version of the source for the same content has its name in the file's.
    kept.rename("d" * 64, "feed later")
    assert kept_in(data_dir) == [file]
    kept.rename("c" * 64, "feed later")
    assert kept_in(data_dir) != [file]
    renamed = kept.find(source="feed later", version=9)
    assert renamed is not None
    renamed.close()
    # It stays as long as anybody reads it.
    sweep(data_dir)
    assert len(kept_in(data_dir)) == 1
    first.close()
    sweep(data_dir)
    assert kept_in(data_dir) == []


async def test_a_changed_source_is_read_by_difference_in_the_background(
    process: Child, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first rows are read again in every version.
    monkeypatch.setattr("service.catalog.adapters.sqlite_sink.WITNESSES", 2)
    monkeypatch.setattr("service.catalog.adapters.difference_sink.MIN_CHANGED", 6)
    first = await built(FEED, data_dir, content=Content("c" * 64))
    with capture_logs() as logs:
        second = await built(
            FEED + "new;https://u/;N;5;https://i/;1\n", data_dir, content=Content("d" * 64), background=True
        )
    job = process.jobs[-1]
    assert (job["niceness"], job["content"], job["source"]) == (10, "d" * 64, "")
    assert job["base"] is not None
    assert process.started[-1][1]["pass_fds"][1:] == (job["base"],)
    [log] = [log for log in logs if log["event"] == "catalog_read_by_difference"]
    assert (log["rows"], log["unchanged"]) == (41, 38)
    assert len(second) == 41
    # Another feed has too little in common with it.
    third = await built(FEED.replace("Name", "Other"), data_dir, content=Content("e" * 64), background=True)
    assert (process.jobs[-1]["base"] is not None, len(third)) == (True, 40)
    assert b"Other" in third.rows(["1"])[0].fragment  # type: ignore[union-attr]  # it is there
    third.close()
    first.close()
    second.close()
    sweep(data_dir)
    assert kept_in(data_dir) == []


async def test_an_operators_file_is_used_as_long_as_it_is_of_use(process: Child, data_dir: Path) -> None:
    (await built(FEED, data_dir, content=Content("c" * 64))).close()
    [made] = kept_in(data_dir)
    theirs = made.replace(data_dir.parent / "theirs.sqlite")
    recipe = Recipe({}, None, data_dir, catalog_file=theirs)
    kept = KeptFiles(recipe, "feed", at_start=True)
    found = kept.find(content="c" * 64, version=1)
    assert found is not None
    found.close()
    with capture_logs() as logs:
        assert kept.find(content="d" * 64, version=1) is None
        assert KeptFiles(recipe, "feed").find(content="d" * 64, version=1) is None
        other = Recipe({"name": "name"}, None, data_dir, catalog_file=theirs)
        assert KeptFiles(other, "feed", at_start=True).find(content="c" * 64, version=1) is None
        theirs.write_bytes(theirs.read_bytes()[:-1])
        assert kept.find(content="c" * 64, version=1) is None
        theirs.unlink()
        assert kept.find(content="c" * 64, version=1) is None
        assert KeptFiles(recipe, "feed").find(content="c" * 64, version=1) is None
    assert [(log["event"], log.get("problem")) for log in logs] == [
        ("catalog_file_outdated", None),
        ("catalog_file_unusable", "was made with other settings, or by another version"),
        ("catalog_file_unusable", "is cut short, or no file of personalize-connect"),
        ("catalog_file_unusable", "No such file or directory"),
    ]
    assert process.started


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "feed: the process that reads it has ended; is there memory enough?"),
        (b'{"problems": ["one", "two"]}\n', "one"),
    ],
)
async def test_what_the_child_says_is_wrong_is_the_error(
    process: Child, data_dir: Path, answer: bytes, problem: str
) -> None:
    process.answer = answer
    with pytest.raises(CatalogError) as caught:
        await built(FEED, data_dir)
    assert caught.value.problems[0] == problem
    assert process.is_ended


async def test_a_source_that_changed_meanwhile_is_not_kept(process: Child, data_dir: Path) -> None:
    def check() -> None:
        raise CatalogError("changed")

    with pytest.raises(CatalogError, match="changed"):
        await built(FEED, data_dir, content=Content("c" * 64, "", check))
    assert process.is_ended
    assert kept_in(data_dir) == []


async def test_the_newest_file_of_the_recipe_is_what_a_difference_is_made_from(process: Child, data_dir: Path) -> None:
    kept = KeptFiles(Recipe({}, None, data_dir), "feed")
    inodes = []
    catalogs = []
    for digit in "cde":
        before = set(kept_in(data_dir))
        catalogs.append(await built(FEED, data_dir, content=Content(digit * 64)))
        [made] = set(kept_in(data_dir)) - before
        os.utime(made, (1e9, 1e9 + (digit == "d")))
        inodes.append(made.stat().st_ino)
    base = kept.base()
    assert base is not None
    assert os.fstat(base).st_ino == inodes[1]
    os.close(base)
    for catalog in catalogs:
        catalog.close()
    assert len(process.jobs) == 3


def job(data_dir: Path, descriptor: int, **more: object) -> dict[str, Any]:
    base: dict[str, Any] = {"base": None, "label": "feed", "known": [], "column_mapping": {}, "exclusion_filter": None}
    kept = {"recipe": "r", "content": "c", "source": "s"}
    return {**base, **kept, "descriptor": descriptor, "data_dir": str(data_dir), **more}


def answered(feed: str, folder: Path, **more: object) -> dict[str, Any]:
    (folder / "feed.csv").write_text(feed)
    with new_file(folder) as path, WatchedFile(os.open(folder / "feed.csv", os.O_RDONLY)) as watched:
        watched.seek(5)
        answer = child._answer(job(folder, watched.fileno(), **more), path, watched, threading.Lock())
        if "path" in answer:
            assert answer["path"] == str(path)
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                answer["stored"] = connection.execute("SELECT count(*), sum(eligible) FROM item").fetchone()
            connection.close()
    return answer


def test_the_child_answers_with_all_that_its_parent_needs_to_know(tmp_path: Path) -> None:
    rows = [{"id": "a", "size": "1"}, {"id": "b", "size": "2"}, {"id": "a"}, {"name": ""}, {"id": "a"}, {"id": "c"}]
    answer = answered(table(*rows), tmp_path, known=["gone"], exclusion_filter='EXCLUDE ItemID WHERE Items.SIZE = "2"')
    assert answer["stored"] == (3, 2)
    assert (answer["kept"], answer["rows"]) == (0, 6)
    about = answer["about"]
    assert {name: about[name] for name in ("recipe", "content", "source", "items", "columns", "taken")} == {
        "recipe": "r", "content": "c", "source": "s", "items": 3, "columns": ("size", "gone"),
        "taken": ["id", "url", "name", "price", "image"],
    }  # fmt: skip
    assert about["report"]["dropped"] == {"missing_name": 1, "duplicate": 2}
    assert about["report"]["examples"]["duplicate"] == ("a (line 4)", "a (line 6)")


@pytest.mark.parametrize("is_kept", [False, True])
def test_the_child_answers_and_ends_with_its_input_and_takes_its_file_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    (tmp_path / "feed.csv").write_text(table({}))
    began: list[tuple[Callable[..., None], bool]] = []
    seen: list[object] = []

    class Thread:
        def __init__(self, *, target: Callable[..., None], args: tuple[object, ...] = (), daemon: bool) -> None:
            del args
            began.append((target, daemon))

        def start(self) -> None:
            """Not by itself."""

    class Over:
        def set(self) -> None:
            seen.append("over")

        def wait(self) -> None:
            # The answer has been given, and the file is there until the input is closed.
            files = list(tmp_path.glob("catalog-*"))
            assert [str(file) for file in files] == [orjson.loads(said.getvalue())["path"]]
            if is_kept:
                files[0].rename(tmp_path / "kept")
            began[0][0]()
            assert not files[0].exists()

    said = io.BytesIO()
    with (tmp_path / "feed.csv").open("rb") as feed:
        wanted = orjson.dumps(job(tmp_path, os.dup(feed.fileno()), niceness=7)) + b"\n"
    streams = SimpleNamespace(
        stdin=SimpleNamespace(buffer=io.BytesIO(wanted)), stdout=SimpleNamespace(buffer=said), byteorder=sys.byteorder
    )
    opened: list[WatchedFile] = []

    def watched(descriptor: int) -> WatchedFile:
        opened.append(WatchedFile(descriptor))
        return opened[0]

    monkeypatch.setattr(child, "WatchedFile", watched)
    monkeypatch.setattr(child, "sys", streams)
    monkeypatch.setattr(child, "threading", SimpleNamespace(Thread=Thread, Event=Over, Lock=threading.Lock))
    monkeypatch.setattr(os, "nice", seen.append)
    monkeypatch.setattr(os, "_exit", seen.append)
    child._main()
    opened[0].close()
    assert [daemon for _, daemon in began] == [True, True]
    assert seen == [7, "over", 0]
    assert (tmp_path / "kept").exists() == is_kept


@pytest.mark.parametrize(
    ("feed", "more", "problem"),
    [
        (table({"name": ""}), {}, "feed: no usable row (1 missing_name); no name: 1 (line 2)"),
        (table(), {}, "feed: no usable row (no rows at all)"),
        (table({}), {"exclusion_filter": "EXCLUDE"}, "EXCLUSION_FILTER: line 1, column 8"),
    ],
)
def test_the_child_answers_with_what_is_wrong(tmp_path: Path, feed: str, more: dict[str, object], problem: str) -> None:
    [found] = answered(feed, tmp_path, **more)["problems"]
    assert found.startswith(problem)


def test_a_file_that_cannot_be_written_is_said_with_its_folder(tmp_path: Path) -> None:
    with WatchedFile(os.open(os.devnull, os.O_RDONLY)) as watched:
        answer = child._answer(job(tmp_path, 0), tmp_path / "none" / "x", watched, threading.Lock())
    [problem] = cast("list[str]", answer["problems"])
    assert problem.startswith(f"DATA_DIR {tmp_path}: the catalogue cannot be stored: ")


def test_a_child_whose_source_stalls_says_so_and_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stalling:
        @property
        def stalled_seconds(self) -> float:
            return waits.pop(0)

    class Out:
        buffer = io.BytesIO()

    waits = [0.0, STALL_SECONDS, STALL_SECONDS + 0.1]
    slept: list[float] = []
    monkeypatch.setattr("service.catalog.reading.child.time.sleep", slept.append)
    monkeypatch.setattr("service.catalog.reading.child.sys.stdout", Out)
    child._give_up_when_stalled(Stalling(), "feed")  # type: ignore[arg-type]  # all that it looks at
    assert slept == [1, 1]
    assert orjson.loads(Out.buffer.getvalue()) == {
        "problems": ["feed: cannot be read: no answer within 30 s; does its mount hang?"]
    }
    assert Out.buffer.getvalue().endswith(b"\n")


async def test_a_load_that_is_given_up_ends_its_child(
    process: Child, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never() -> bytes:
        asked.set()
        return await asyncio.Future()

    monkeypatch.setattr(process, "readline", never)
    building = asyncio.create_task(built(FEED, data_dir))
    await asked.wait()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert process.is_ended
    assert in_child._END_SECONDS > 0


async def test_a_file_that_is_larger_than_memory_holds_is_not_begun_in_memory(process: Child, data_dir: Path) -> None:
    path = data_dir.parent / "feed.csv"
    path.write_text("#" * 5_000 + "\n" + table({}))
    size = path.stat().st_size
    for most, kind in ((size, MemoryCatalog), (size - 1, SqliteCatalog)):
        with path.open("rb") as stream:
            stream.seek(7)
            catalog = await build(
                stream, label="feed", recipe=Recipe({}, None, data_dir), version=3, max_memory_bytes=most
            )
        assert isinstance(catalog, kind)
        assert len(catalog) == 1
        catalog.close()
    assert len(process.jobs) == 1


async def test_a_source_with_a_large_file_of_before_is_not_begun_in_memory(process: Child, data_dir: Path) -> None:
    """Its beginning would be read in vain."""
    first = await built(FEED, data_dir, content=Content("c" * 64))
    second = await built(table({}), data_dir, content=Content("d" * 64))
    assert (len(second), len(process.jobs)) == (1, 2)
    path = data_dir.parent / "feed.csv"
    with path.open("rb") as stream:
        recipe, content = Recipe({}, None, data_dir), Content("e" * 64)
        third = await build(stream, label="feed", recipe=recipe, version=3, content=content, max_memory_rows=40)
    assert isinstance(third, MemoryCatalog)
    first.close()
    second.close()
    sweep(data_dir)
    for always, kind in ((False, MemoryCatalog), (True, SqliteCatalog)):
        with path.open("rb") as stream:
            recipe = Recipe({}, None, data_dir, always_file=always)
            found = await build(stream, label="feed", recipe=recipe, version=3, content=Content("d" * 64))
        assert isinstance(found, kind)
        found.close()


async def test_a_catalogue_that_is_opened_too_late_is_closed(data_dir: Path) -> None:
    del data_dir
    began, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    closed: list[bool] = []

    class Opened:
        def close(self) -> None:
            closed.append(True)

    def opening() -> SqliteCatalog | None:
        loop.call_soon_threadsafe(began.set)
        go.wait()
        return cast("SqliteCatalog", Opened()) if not closed else None

    for times in (1, 1):
        task = asyncio.create_task(opened_safely(opening))
        await began.wait()
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(closed) == times
        began.clear()
        go.clear()


async def test_a_kept_file_that_cannot_be_opened_is_an_error_and_its_lock_is_given_back(
    process: Child, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await built(FEED, data_dir, content=Content("c" * 64))).close()
    assert process.is_ended

    def broken(*_: object, **__: object) -> SqliteCatalog:
        raise CatalogError("broken")

    monkeypatch.setattr("service.catalog.reading.kept_files.SqliteCatalog", broken)
    with pytest.raises(CatalogError, match="broken"):
        KeptFiles(Recipe({}, None, data_dir), "feed").find(content="c" * 64, version=1)
    sweep(data_dir)
    assert kept_in(data_dir) == []


async def test_a_load_that_is_given_up_waits_for_its_child_to_end(
    process: Child, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, over = asyncio.Event(), asyncio.Event()

    async def wait() -> int:
        waits.set()
        await over.wait()
        return 0

    process.answer = b'{"problems": ["one"]}\n'
    monkeypatch.setattr(process, "wait", wait)
    building = asyncio.create_task(built(FEED, data_dir))
    await waits.wait()
    building.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not building.done()
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await building


def test_a_file_that_is_being_removed_or_was_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    with path.open("wb") as file:
        assert kept_files._hold(file.fileno())
        fcntl.flock(file, fcntl.LOCK_EX)
        with path.open("rb") as other:
            assert not kept_files._hold(other.fileno())
        path.unlink()
        assert not kept_files._hold(file.fileno())


def test_a_file_that_is_being_written_is_not_swept_out(tmp_path: Path) -> None:
    with new_file(tmp_path) as path:
        prepare(tmp_path)
        assert path.exists()
    assert not path.exists()


async def test_that_an_operators_file_is_of_no_use_is_said_at_the_start_only(process: Child, data_dir: Path) -> None:
    (await built(FEED, data_dir, content=Content("c" * 64))).close()
    [made] = kept_in(data_dir)
    recipe = Recipe({}, None, data_dir, catalog_file=made.replace(data_dir.parent / "theirs.sqlite"))
    for background, events in ((False, ["catalog_file_outdated"]), (True, [])):
        with capture_logs() as logs:
            (await built(FEED, data_dir, content=Content("d" * 64), recipe=recipe, background=background)).close()
        assert [log["event"] for log in logs if log["event"] == "catalog_file_outdated"] == events
        sweep(data_dir)
    assert len(process.jobs) == 3
