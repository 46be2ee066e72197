import gzip
import json
import os
import random
import uuid
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import pytest

from service.batch import codes as batch_codes
from service.batch import load as batch_load
from service.batch.adapters.files import find
from service.batch.load import LoadReport, load
from service.batch.ports import BatchSets
from service.errors import BatchError
from service.lists.keys import UserKey, UserKeys
from service.models import ItemList, ListRequest
from tests.batch.conftest import Store
from tests.support.replica import read

KEYS = UserKeys(secret="secret", scope="campaign")
MADE_AT = 1_700_000_000
ITEMS = [str(uuid.UUID(int=number, version=4)) for number in range(400)]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load of some hundred lists is as many writes as one of some thousand."""
    monkeypatch.setattr(batch_load, "MAX_LISTS_AT_ONCE", 100)


def line(user: str, items: Sequence[str]) -> str:
    return json.dumps(
        {
            "input": {"userId": user},
            "output": {"recommendedItems": items, "scores": [0.1 for _ in items]},
            "error": None,
        }
    )


def items_of(user: str, version: str = "") -> list[str]:
    return random.Random(user + version).sample(ITEMS, 25)


def written(path: Path, lines: Iterable[str], end: str = "\n") -> Path:
    content = "".join(one + end for one in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    os.utime(path, (MADE_AT, MADE_AT))
    return path


def run(sets: BatchSets, *paths: Path, errors: Path | None = None, values_change_lists: bool = True) -> LoadReport:
    try:
        files, _ = find([str(path) for path in paths])
        return load(
            files,
            sets=sets,
            keys=KEYS,
            values_change_lists=values_change_lists,
            errors_path=errors or paths[0].parent / "errors.jsonl",
            now=MADE_AT + 60,
        )
    finally:
        sets.close()


async def served(store: Store, user: str) -> ItemList | None:
    envelope = await store.lists.get(KEYS.of(ListRequest(user)))
    return None if envelope is None else read(envelope)


class Interrupted(Exception):
    pass


class Failing:
    """Sets whose loader is gone at the n-th write, before it is done or just after."""

    def __init__(self, sets: BatchSets, writes: int, *, done: bool) -> None:
        self._sets = sets
        self._left = writes
        self._done = done
        self.begin = sets.begin
        self.switch = sets.switch
        self.status = sets.status
        self.drop = sets.drop
        self.close = sets.close

    def write(self, lists: Sequence[tuple[UserKey, ItemList]], progress: bytes) -> None:
        self._left -= 1
        if self._left or self._done:
            self._sets.write(lists, progress)
        if not self._left:
            raise Interrupted


async def test_a_list_is_served_as_it_stands_in_the_file(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.out", [line(user, items_of(user)) for user in ("ann", "bob")])
    assert await served(store, "ann") is None

    loaded = run(store.sets(), path)

    assert loaded.users == 2
    assert await served(store, "ann") == ItemList(tuple(items_of("ann")), "", MADE_AT)
    assert await served(store, "bob") == ItemList(tuple(items_of("bob")), "", MADE_AT)
    assert await served(store, "eve") is None


async def test_ids_of_every_kind_come_back_in_order_when_the_dictionary_is_full(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_codes, "MAX_NUMBERED", 130)
    lists = [
        ITEMS[:200],
        ["x", "é" * 256, "A" * 256, *ITEMS[195:205], ITEMS[399].upper(), "0", "\x01"],
        [f"item-{number}" for number in range(500)],
    ]
    path = written(tmp_path / "a.out", [line(f"u{number}", items) for number, items in enumerate(lists)])

    run(store.sets(), path)

    for number, items in enumerate(lists):
        found = await served(store, f"u{number}")
        assert found is not None
        assert list(found.item_ids) == items


async def test_the_last_list_of_a_user_counts_and_is_counted_once(store: Store, tmp_path: Path) -> None:
    first = written(tmp_path / "a.out", [line("ann", ITEMS[:3]), line("bob", ITEMS[:4]), line("ann", ITEMS[5:8])])
    second = written(tmp_path / "b.out.gz", [line("bob", ITEMS[9:12])])

    loaded = run(store.sets(), first, second)

    assert (loaded.users, loaded.progress.lists) == (2, 4)
    ann, bob = await served(store, "ann"), await served(store, "bob")
    assert ann is not None
    assert bob is not None
    assert list(ann.item_ids) == ITEMS[5:8]
    assert list(bob.item_ids) == ITEMS[9:12]


async def test_lines_without_a_list_are_left_out_and_named(store: Store, tmp_path: Path) -> None:
    failed = json.dumps({"input": {"userId": "x"}, "output": None, "error": "user is unknown"})
    similar = json.dumps({"input": {"itemId": "105"}, "output": {"recommendedItems": ["1", "2"]}, "error": None})
    lines = [
        line("ann", ITEMS[:5]),
        "",
        "{broken",
        failed,
        similar,
        line("u" * 257, ITEMS[:5]),
        line("bob", []),
        line("bob", [""]),
        '"a text"',
        line("eve", ["é" * (1 << 20)]),
        line("zoe", ITEMS[:5]),
    ]
    path = written(tmp_path / "a.out", lines, end="\r\n")
    errors = tmp_path / "errors.jsonl"

    loaded = run(store.sets(), path, errors=errors)

    assert (loaded.users, loaded.progress.errors, loaded.progress.other_kinds) == (2, 7, 1)
    named = [json.loads(one) for one in errors.read_text().splitlines()]
    assert [one["line"] for one in named] == [3, 4, 6, 7, 8, 9, 10]
    assert {one["file"] for one in named} == {path.as_uri()}
    assert "ann" not in errors.read_text()
    assert await served(store, "zoe") is not None


async def test_nothing_of_a_set_is_served_before_all_of_it_is_there(store: Store, tmp_path: Path) -> None:
    old = written(tmp_path / "old.out", [line(f"u{n}", items_of(f"u{n}")) for n in range(100)])
    run(store.sets(), old)
    new = written(tmp_path / "new.out", [line(f"u{n}", items_of(f"u{n}", "new")) for n in range(300)])

    with pytest.raises(Interrupted):
        run(Failing(store.sets(), 2, done=True), new)

    for user in ("u7", "u99"):
        found = await served(store, user)
        assert found is not None
        assert list(found.item_ids) == items_of(user)
    assert await served(store, "u150") is None
    run(store.sets(), new)
    for user in ("u7", "u299"):
        found = await served(store, user)
        assert found is not None
        assert list(found.item_ids) == items_of(user, "new")


@pytest.mark.long
@pytest.mark.parametrize("done", [True, False])
async def test_a_load_interrupted_twice_and_resumed_equals_an_uninterrupted_one(
    store: Store, tmp_path: Path, *, done: bool
) -> None:
    lines = [line(f"u{n}", items_of(f"u{n}")) if n % 50 else "{broken" for n in range(350)]
    plain, packed = written(tmp_path / "a.out", lines), written(tmp_path / "b.out.gz", reversed(lines[:150]))
    errors, whole_errors = tmp_path / "errors.jsonl", tmp_path / "whole.jsonl"

    for writes in (2, 4):
        with pytest.raises(Interrupted):
            run(Failing(store.sets(), writes, done=done), plain, packed, errors=errors)
    resumed = run(store.sets(), plain, packed, errors=errors)
    kept = {n: await served(store, f"u{n}") for n in range(350)}
    remains = store.remains()
    whole = run(store.sets(), plain, packed, errors=whole_errors)

    assert resumed.resumed_at > 100
    assert (resumed.users, resumed.progress.lists, resumed.progress.errors) == (
        343,
        whole.progress.lists,
        whole.progress.errors,
    )
    assert kept == {n: await served(store, f"u{n}") for n in range(350)}
    assert sum(found is not None for found in kept.values()) == 343
    assert errors.read_bytes() == whole_errors.read_bytes()
    assert store.remains() == remains


async def test_a_load_of_other_content_begins_anew(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.out", [line(f"u{n}", ITEMS[:5]) for n in range(250)])
    with pytest.raises(Interrupted):
        run(Failing(store.sets(), 2, done=True), path)
    written(path, [line(f"v{n}", ITEMS[:6]) for n in range(10)])

    loaded = run(store.sets(), path)

    assert (loaded.resumed_at, loaded.users) == (0, 10)
    assert await served(store, "u1") is None
    assert await served(store, "v1") is not None


async def test_of_two_loads_the_one_begun_last_goes_on(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.out", [line("ann", ITEMS[:5])])
    first = store.sets()
    first.begin("something")

    run(store.sets(), path)

    with pytest.raises(BatchError, match="another load"):
        first.write([], b"")
    with pytest.raises(BatchError, match="another load"):
        first.switch(b"")
    first.close()
    assert await served(store, "ann") is not None


async def test_files_without_any_list_change_nothing(store: Store, tmp_path: Path) -> None:
    run(store.sets(), written(tmp_path / "a.out", [line("ann", ITEMS[:5])]))

    with pytest.raises(
        BatchError, match="no list of this placement in 1 files; 1 lines with errors, the first: .*, line 1: not JSON"
    ):
        run(store.sets(), written(tmp_path / "b.out", ["{"]))

    assert await served(store, "ann") is not None


async def test_a_user_forgotten_while_a_set_is_loaded_is_in_neither(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.out", [line(f"u{n}", ITEMS[:5]) for n in range(250)])
    run(store.sets(), path)
    os.utime(path, (MADE_AT + 1, MADE_AT + 1))
    with pytest.raises(Interrupted):
        run(Failing(store.sets(), 2, done=True), path)

    for user in ("u3", "u240"):
        await store.forget(KEYS.prefix(user))

    assert await served(store, "u3") is None
    assert await served(store, "u240") is None
    assert await served(store, "u4") is not None
    assert run(store.sets(), path).users == 248
    assert await served(store, "u3") is None
    assert await served(store, "u240") is None
    assert await served(store, "u4") is not None
    if files := list(tmp_path.glob("data/*")):
        # Not in the space that deleted rows leave either.
        [content] = [path.read_bytes() for path in files]
        assert [user for user in ("u3", "u240", "u4") if bytes(KEYS.prefix(user)) in content] == ["u4"]


async def test_what_is_replaced_or_dropped_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    first = written(tmp_path / "a.out", [line(f"u{n}", items_of(f"u{n}")) for n in range(250)])
    second = written(tmp_path / "b.out", [line(f"u{n}", ITEMS[:25]) for n in range(5)])
    run(store.sets(), second)
    only = store.remains()
    with pytest.raises(Interrupted):
        run(Failing(store.sets(), 2, done=True), first)
    run(store.sets(), first)
    run(store.sets(), second)

    assert store.remains() == only
    sets = store.sets()
    assert sets.status().lists == 5
    sets.drop()
    assert sets.status().description is None
    sets.close()
    assert store.remains() == 0
    assert await served(store, "u1") is None


def test_files_are_found_by_name_directory_and_pattern(tmp_path: Path) -> None:
    names = ["a.json.out", "b.out.gz", "c.jsonl", "_manifest"]
    paths = [written(tmp_path / name, [str(number)]) for name, number in zip(names, count(), strict=False)]

    def found(url: str) -> tuple[list[str], int]:
        files, passed_over = find([url])
        return [file.url.rpartition("/")[2] for file in files], passed_over

    assert found(str(tmp_path)) == (["a.json.out", "b.out.gz", "c.jsonl"], 1)
    assert found(f"file://{tmp_path}/*.out*") == (["a.json.out", "b.out.gz"], 0)
    assert found(paths[3].as_uri()) == (["_manifest"], 0)
    for missing in (tmp_path / "d.out", tmp_path / "*.txt"):
        with pytest.raises(BatchError, match="no file there"):
            find([str(missing)])


async def test_a_file_cut_short_is_said_to_be(sqlite_store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "a.out.gz", [line(f"u{n}", items_of(f"u{n}")) for n in range(100)])
    path.write_bytes(path.read_bytes()[:-500])

    with pytest.raises(BatchError, match=r"a\.out\.gz: is cut short"):
        run(sqlite_store.sets(), path)


async def test_errors_go_on_where_the_load_does_though_somebody_took_the_file_away(
    sqlite_store: Store, tmp_path: Path
) -> None:
    """H2: the gap was filled with zeros."""
    path = written(tmp_path / "a.out", [line(f"u{n}", ITEMS[:5]) if n % 90 else "{broken" for n in range(300)])
    errors = tmp_path / "errors.jsonl"
    with pytest.raises(Interrupted):
        run(Failing(sqlite_store.sets(), 2, done=True), path, errors=errors)
    errors.unlink()

    run(sqlite_store.sets(), path, errors=errors)

    assert [json.loads(one)["line"] for one in errors.read_text().splitlines()] == [271]
