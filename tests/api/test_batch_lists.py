"""`personalize-connect batch` and what the front door then shows."""

import asyncio
import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.batch.adapters.files import find
from service.batch.load import load
from service.cli import main
from service.errors import RecommenderError
from service.settings import load_settings
from service.wiring.names import user_keys
from service.wiring.tools import open_batch_sets
from tests.support.front_door import OpenDoor

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}


def batch(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["batch", *arguments])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "users.json.out"
    lines = [
        {"input": {"userId": user}, "output": {"recommendedItems": items, "scores": [0.5] * 12}, "error": None}
        for user, items in (
            ("ann", [f"item{n:03}" for n in range(30, 42)]),
            ("bob", [f"item{n:03}" for n in range(10, 22)]),
        )
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in [*lines, "garbage"]))
    return path


async def test_a_loaded_batch_is_shown_with_exclusions_when_personalize_fails_and_is_forgotten(
    open_door: OpenDoor, output: Path
) -> None:
    async with open_door(
        ADMIN_KEYS=ADMIN["X-API-Key"], EXCLUSION_FILTER='EXCLUDE ItemID WHERE Items.CATEGORY IN ("odd")'
    ) as door:
        door.personalize.failure = RecommenderError()
        assert (await door.get("/recommendations", user_id="bob", num_results=3)).headers[
            "X-Recommendation-Source"
        ] == "popular"

        result = batch("load", str(output))

        assert result.exit_code == 0, result.output
        assert "2 lists active" in result.output
        assert "1 lines with errors" in result.output
        answer = await door.get("/recommendations", user_id="ann", num_results=3, exclude="item032")
        assert answer.headers["X-Recommendation-Source"] == "batch"
        assert answer.headers["X-Degraded-Reason"] == "error"
        assert int(answer.headers["Age"]) >= 0
        assert [item["id"] for item in answer.json()] == ["item030", "item034", "item036"]
        door.clock.moved_seconds += 60
        assert (await door.http.delete("/users/ann", headers=ADMIN)).status_code == 200
        door.clock.moved_seconds += 60
        for user, source in (("ann", "popular"), ("bob", "batch")):
            answer = await door.get("/recommendations", user_id=user)
            assert answer.headers["X-Recommendation-Source"] == source


async def test_status_and_drop_say_what_there_is(open_door: OpenDoor, output: Path) -> None:
    async with open_door():
        assert batch("status").output == "no batch lists are active\n"
        batch("load", str(output))
        assert "2 lists active" in batch("status").output
        assert batch("drop").exit_code == 0
        assert batch("status").output == "no batch lists are active\n"


async def test_what_cannot_be_loaded_is_one_line_and_exit_status_1(open_door: OpenDoor, output: Path) -> None:
    async with open_door():
        missing = batch("load", "nowhere.out")
        os.utime(output, (time.time() - 700_000,) * 2)
        old = batch("load", str(output))
    assert (missing.exit_code, missing.output) == (1, "batch: nowhere.out: no file there\n")
    assert old.exit_code == 1
    assert "CACHE_STALE_SECONDS, 604800" in old.output


def write(path: Path, users: Iterable[str], items: Sequence[str]) -> Path:
    with path.open("w") as file:
        for number, user in enumerate(users):
            shown = [items[(number + place) % len(items)] for place in range(12)]
            output = {"recommendedItems": shown, "scores": [0.5] * 12}
            file.write(json.dumps({"input": {"userId": user}, "output": output, "error": None}) + "\n")
    return path


def load_here(path: Path) -> None:
    """As the command does, in a thread of this process."""
    settings = load_settings()
    files, _ = find([str(path)])
    with open_batch_sets(settings) as sets:
        load(
            files,
            sets=sets,
            keys=user_keys(settings),
            values_change_lists=False,
            errors_path=path.with_suffix(".errors"),
            now=time.time(),
        )


@pytest.mark.long
@pytest.mark.parametrize("shared", [pytest.param(True, marks=pytest.mark.processes), False], ids=["redis", "sqlite"])
async def test_a_reload_beside_calls_shows_nobody_a_mix(
    open_door: OpenDoor, request: pytest.FixtureRequest, tmp_path: Path, *, shared: bool
) -> None:
    old, new = [f"item{n:03}" for n in range(30)], [f"item{n:03}" for n in range(30, 60)]
    users = [f"u{number}" for number in range(5_000)]
    first, second = write(tmp_path / "first.out", users, old), write(tmp_path / "second.out", users, new)
    settings = {"REDIS_URL": request.getfixturevalue("redis_server").url} if shared else {}
    shown: list[list[set[str]]] = []
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(open_door(**settings)) for _ in range(2 if shared else 1)]
        for door in doors:
            door.personalize.failure = RecommenderError()

        async def show(user: str) -> None:
            answers = await asyncio.gather(*(door.get("/recommendations", user_id=user) for door in doors * 2))
            assert {answer.headers["X-Recommendation-Source"] for answer in answers} == {"batch"}
            shown.append([{item["id"] for item in answer.json()} for answer in answers])

        await asyncio.to_thread(load_here, first)
        names = iter(users)
        await show(next(names))
        reloading = asyncio.create_task(asyncio.to_thread(load_here, second))
        while not reloading.done():
            await show(next(names))
        await reloading
        during = len(shown)
        for _ in range(10):
            await show(next(names))

    # One before, and beside the reload as many as the machine has time for.
    assert during >= 2
    assert shown[0][0] <= set(old)
    for parts in shown:
        assert all(part == parts[0] for part in parts)
        assert parts[0] <= set(old) or parts[0] <= set(new)
    assert all(parts[0] <= set(new) for parts in shown[during:])
