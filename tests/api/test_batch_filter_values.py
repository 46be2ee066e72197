"""Batch lists of users with filter values, and the file of errors: the command, and what the front door shows."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.errors import RecommenderError
from tests.support.front_door import Door, OpenDoor

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}
FILTER = "arn:aws:personalize:us-east-1:000000000000:filter/genres"


def batch(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["batch", *arguments])


def lists_with_values(path: Path, *lines: tuple[str, dict[str, str] | None, int]) -> Path:
    """A batch's output: user, filter values, and the number of the first of three items."""
    written = []
    for user, values, first in lines:
        given: dict[str, object] = {"userId": user} if values is None else {"userId": user, "filterValues": values}
        items = [f"item{first + n:03}" for n in range(3)]
        written.append({"input": given, "output": {"recommendedItems": items, "scores": [0.5] * 3}, "error": None})
    path.write_text("".join(json.dumps(one) + "\n" for one in written))
    return path


async def first_shown(door: Door, user: str, **values: str) -> tuple[str, str]:
    """Source, and the first item."""
    names = {f"filter_values.{name}": value for name, value in values.items()}
    answer = await door.get("/recommendations", user_id=user, num_results=2, **names)
    return answer.headers["X-Recommendation-Source"], answer.json()[0]["id"]


async def test_a_batch_list_with_filter_values_is_served_to_calls_with_these_values_only(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    """G1: the last list of a user became the plain one, and calls with its values got popular items."""
    output = lists_with_values(
        tmp_path / "users.json.out",
        ("ann", None, 5),
        ("ann", {"GENRE": '"horror"'}, 10),
        ("ann", {"GENRE": '"horror","comedy"', "MAX": "20"}, 20),
        ("bob", {"GENRE": '"sci-fi, old"'}, 30),
    )
    async with open_door(PERSONALIZE_FILTER_ARN=FILTER) as door:
        door.personalize.failure = RecommenderError()

        result = batch("load", str(output))

        assert result.exit_code == 0, result.output
        assert "4 lists active" in result.output
        assert await first_shown(door, "ann") == ("batch", "item005")
        for spelling in ("horror", '"horror"', " horror ", "horror,horror,"):
            assert await first_shown(door, "ann", GENRE=spelling) == ("batch", "item010")
        for spelling in ('"horror","comedy"', "comedy, horror", '"comedy" ,horror'):
            assert await first_shown(door, "ann", MAX="20", GENRE=spelling) == ("batch", "item020")
        assert await first_shown(door, "bob", GENRE='"sci-fi, old"') == ("batch", "item030")
        # A value that is blank is no value.
        assert await first_shown(door, "ann", GENRE="") == ("batch", "item005")
        for user, values in (
            ("ann", {"GENRE": "comedy"}),
            ("ann", {"GENRE": "Horror"}),
            ("ann", {"GENRE": "horror", "MAX": "20"}),
            ("bob", {"GENRE": "sci-fi, old"}),
            ("bob", {}),
        ):
            assert (await first_shown(door, user, **values))[0] == "popular"


async def test_all_batch_lists_of_a_user_are_forgotten_whatever_their_values(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    """G1."""
    output = lists_with_values(tmp_path / "users.json.out", ("ann", None, 5), ("ann", {"GENRE": '"horror"'}, 10))
    async with open_door(PERSONALIZE_FILTER_ARN=FILTER, ADMIN_KEYS=ADMIN["X-API-Key"]) as door:
        door.personalize.failure = RecommenderError()
        batch("load", str(output))

        assert (await door.http.delete("/users/ann", headers=ADMIN)).status_code == 200

        assert (await first_shown(door, "ann"))[0] == "popular"
        assert (await first_shown(door, "ann", GENRE="horror"))[0] == "popular"


async def test_lists_with_values_that_no_call_could_find_are_left_out_and_named(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    """G1: without a filter in Personalize no call's values choose a list."""
    output = lists_with_values(tmp_path / "users.json.out", ("ann", None, 5), ("ann", {"GENRE": '"horror"'}, 10))
    async with open_door() as door:
        door.personalize.failure = RecommenderError()

        result = batch("load", str(output))

        assert "1 lists active" in result.output
        assert "1 lines with errors were left out; data/batch-errors.jsonl names each" in result.output
        [named] = (tmp_path / "data" / "batch-errors.jsonl").read_text().splitlines()
        assert "the placement has no filter" in json.loads(named)["error"]
        assert await first_shown(door, "ann") == ("batch", "item005")


@pytest.mark.parametrize(
    "values",
    [["horror"], {"GENRE": ["horror"]}, {"GENRE": "x" * 1_001}, {"G" * 51: "x"}, {f"G{n}": "x" for n in range(26)}],
)
async def test_filter_values_that_no_call_can_have_are_named(
    open_door: OpenDoor, tmp_path: Path, values: object
) -> None:
    """G1."""
    line = {"input": {"userId": "ann", "filterValues": values}, "output": {"recommendedItems": ["item001"]}}
    path = tmp_path / "users.json.out"
    path.write_text(json.dumps(line))
    async with open_door(PERSONALIZE_FILTER_ARN=FILTER):
        result = batch("load", str(path))
    assert result.exit_code == 1
    assert "line 1: " in result.output
    assert "filterValues" in result.output


async def test_two_spellings_of_filter_values_cost_one_transaction(open_door: OpenDoor) -> None:
    """G1: what means the same is one list, from a batch or not."""
    async with open_door(PERSONALIZE_FILTER_ARN=FILTER) as door:
        for spelling in ("horror,comedy", '"comedy","horror"', "comedy , horror"):
            await first_shown(door, "ann", GENRE=spelling)
        assert len(door.personalize.asked) == 1


async def test_a_load_without_an_error_leaves_no_file_of_errors(
    open_door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H2: each load left an empty batch-errors.jsonl, and failed where the working directory is read-only."""
    good = lists_with_values(tmp_path / "good.out", ("ann", None, 5))
    bad = tmp_path / "bad.out"
    bad.write_text(good.read_text() + "garbage\n")
    readonly = tmp_path / "app"
    readonly.mkdir()
    async with open_door(DATA_DIR=str(tmp_path / "data")):
        monkeypatch.chdir(readonly)

        assert batch("load", str(bad)).exit_code == 0
        kept = tmp_path / "data" / "batch-errors.jsonl"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert batch("load", str(good)).exit_code == 0

        assert not kept.exists()
        assert list(readonly.iterdir()) == []


async def test_errors_that_cannot_be_written_are_one_line_with_the_way_out(open_door: OpenDoor, tmp_path: Path) -> None:
    """H2."""
    bad = tmp_path / "bad.out"
    bad.write_text("garbage\n")
    async with open_door():
        result = batch("load", str(bad), "--errors", "/proc/nowhere.jsonl")
    assert result.exit_code == 1
    assert result.output.startswith("batch: /proc/nowhere.jsonl: cannot be written: ")
    assert "--errors names another file" in result.output
