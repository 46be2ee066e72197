"""Batch lists of similar items and rankings, loaded by the command and served by the front door."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.errors import RecommenderError
from tests.api.test_placements import ARNS
from tests.support.front_door import OpenDoor


def write(path: Path, given: dict[str, object], items: list[str]) -> None:
    line = {"input": given, "output": {"recommendedItems": items}, "error": None}
    path.write_text(json.dumps(line) + "\n")


@pytest.mark.parametrize("placement", ["similar", "ranking"])
async def test_a_batch_of_a_placement_stands_in_for_it(open_door: OpenDoor, tmp_path: Path, placement: str) -> None:
    path = tmp_path / "lists.json.out"
    async with open_door(**ARNS) as door:
        door.personalize.failure = RecommenderError()
        if placement == "similar":
            write(path, {"itemId": "item001"}, ["item009", "item008", "item001", "item007"])
            query, shown = "/similar-items?item_id=item001&num_results=3", ["item009", "item008", "item007"]
        else:
            write(path, {"userId": "ann", "itemList": ["item001", "item002"]}, ["item002", "item001"])
            query, shown = "/ranking?user_id=ann&item_ids=item001,item002", ["item002", "item001"]
        wrong = CliRunner().invoke(main, ["batch", "load", str(path)])
        assert (wrong.exit_code, "no list of this placement" in wrong.output) == (1, True)
        assert "1 lines of another kind: --placement names the placement of theirs" in wrong.output
        loaded = CliRunner().invoke(main, ["batch", "load", "--placement", placement, str(path)])
        assert loaded.exit_code == 0, loaded.output
        answer = await door.http.get(query)
        assert answer.headers["X-Recommendation-Source"] == "batch"
        assert [item["id"] for item in answer.json()] == shown


async def test_a_placement_that_is_not_there_is_one_line(open_door: OpenDoor, tmp_path: Path) -> None:
    path = tmp_path / "lists.json.out"
    write(path, {"itemId": "item001"}, ["item009"])
    async with open_door(**ARNS):
        result = CliRunner().invoke(main, ["batch", "load", "--placement", "nowhere", str(path)])
        assert result.exit_code == 2
        assert "there are: for-you, similar, ranking" in result.output
