"""Batch jobs: a list for each line of the input.

Source: https://docs.aws.amazon.com/personalize/latest/dg/batch-data-upload.html
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from service.filters import Filter, parse_filter
from service.local_personalize.data import Dataset
from service.local_personalize.learn import ScoredItem
from service.local_personalize.refusals import Refusal
from service.local_personalize.serving.filters import Passes, filter_test
from service.local_personalize.serving.lists import TrainedLists
from service.local_personalize.training.rows import read_group
from service.local_personalize.work.failure import JobFailed
from service.local_personalize.work.places import list_files, open_text, write_text

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def run_batch(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Write `NAME.out` for each file of the input; lines that cannot be answered go to `NAME.errors`.

    Raises:
        JobFailed: The input or the output cannot be had, or no line of the input can be answered.
    """
    del directory
    lists = TrainedLists.load(Path(job["model"]))
    data = read_group(job)
    expression = parse_filter(job["filter"]) if job["filter"] else None
    answer = _Answers(lists, data, expression, job).of_line
    lines = 0
    output = job["output"] if job["output"].endswith("/") else f"{job['output']}/"
    for location in list_files(job["input"]):
        good: list[bytes] = []
        bad: list[bytes] = []
        for line in _lines(location):
            result = answer(line)
            (good if result["error"] is None else bad).append(orjson.dumps(result))
        lines += len(good)
        name = location.rpartition("/")[2]
        write_text(f"{output}{name}.out", b"".join(one + b"\n" for one in good).decode())
        if bad:
            write_text(f"{output}{name}.errors", b"".join(one + b"\n" for one in bad).decode())
    if not lines:
        raise JobFailed("No line of the input could be answered.")
    return {"lines": lines}


def _lines(location: str) -> Iterator[dict[str, Any]]:
    try:
        with open_text(location) as text:
            for line in text:
                if line.strip():
                    yield orjson.loads(line)
    except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
        raise JobFailed(f"The file {location} is not JSON Lines in UTF-8: {error}") from error


class _Answers:
    """Answers lines of the input."""

    def __init__(self, lists: TrainedLists, data: Dataset, expression: Filter | None, job: dict[str, Any]) -> None:
        self._lists = lists
        self._data = data
        self._expression = expression
        self._count: int = job["numResults"]
        self._recipe_type: str = job["recipeType"]
        by_type = {
            "RELATED_ITEMS": self._related,
            "PERSONALIZED_RANKING": self._ranked,
            "USER_SEGMENTATION": self._segment,
        }
        self._output = by_type.get(self._recipe_type, self._recommended)

    def of_line(self, line: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """The output of a line: what was asked, the answer, and an error or null."""
        if not isinstance(line, dict):
            return {"input": line, "output": None, "error": "The line is not a JSON object"}
        asked = {key: value for key, value in line.items() if key != "filterValues"}
        try:
            return {"input": asked, "output": self._output(line), "error": None}
        except KeyError as error:
            return {"input": asked, "output": None, "error": f"The line has no {error.args[0]}"}
        except Refusal as refusal:
            return {"input": asked, "output": None, "error": refusal.message}

    def _recommended(self, line: dict[str, Any]) -> dict[str, Any]:
        user_id = str(line["userId"])
        passes = self._passes(line, user_id=user_id)
        found = self._lists.for_user(user_id, self._data, count=self._count, passes=passes)
        return _output("recommendedItems", found)

    def _related(self, line: dict[str, Any]) -> dict[str, Any]:
        item_id = str(line["itemId"])
        passes = self._passes(line, item_id=item_id)
        found = self._lists.for_item(item_id, count=self._count, passes=passes)
        return _output("recommendedItems", found)

    def _ranked(self, line: dict[str, Any]) -> dict[str, Any]:
        user_id = str(line["userId"])
        passes = self._passes(line, user_id=user_id)
        found = self._lists.ranking(user_id, [str(one) for one in line["itemList"]], self._data, passes=passes)
        return _output("recommendedItems", found)

    def _segment(self, line: dict[str, Any]) -> dict[str, Any]:
        users = self._lists.users_for(str(line["itemId"]), self._data, count=self._count)
        return {"usersList": users}

    def _passes(self, line: dict[str, Any], *, user_id: str | None = None, item_id: str | None = None) -> Passes | None:
        if self._expression is None:
            return None
        values = {key: str(value) for key, value in line.get("filterValues", {}).items()}
        return filter_test(self._expression, self._data, user_id=user_id, item_id=item_id, values=values)


def _output(name: str, items: list[ScoredItem]) -> dict[str, Any]:
    scores = [one.score for one in items if one.score is not None]
    return {name: [one.item_id for one in items], **({"scores": scores} if scores else {})}
