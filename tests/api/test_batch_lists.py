"""`personalize-connect batch` and what the front door then shows."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.errors import RecommenderError
from tests.support.front_door import OpenDoor

ADMIN = {"X-API-Key": "admin"}


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
    async with open_door(ADMIN_KEYS="admin", EXCLUSION_FILTER='EXCLUDE ItemID WHERE Items.CATEGORY IN ("odd")') as door:
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
        door.clock.ahead_seconds += 60
        assert (await door.http.delete("/users/ann", headers=ADMIN)).status_code == 200
        door.clock.ahead_seconds += 60
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
