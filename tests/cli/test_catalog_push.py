"""`catalog push`: the items dataset gets what has changed, each item once, also after a kill."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.errors import ConfigurationError, RecommenderError, RecommenderRefused, RecommenderThrottled
from service.events.items.push import ItemPush, PushReport
from service.events.items.pushed import PushedItems
from service.events.items.schema import schema_of
from service.local_personalize.app import create_app
from service.local_personalize.arns import DATASET_ARN
from service.local_personalize.data import Dataset, Interaction
from service.local_personalize.learn import learn
from service.settings import Settings
from tests.support.local_personalize import LocalPersonalize, serving

ARN = DATASET_ARN + "ITEMS"
HEAD = "id,url,name,price,image,category,in_stock\n"


@pytest.fixture
def local() -> Iterator[LocalPersonalize]:
    items = {"old": {"ITEM_ID": "old", "PRICE": "1", "CATEGORY": "x", "IN_STOCK": "true"}}
    histories = {"ann": [Interaction("old", 1_700_000_000, "View")]}
    with serving(
        create_app(learn(Dataset(histories=histories, items=items, users={})), tps=0, latency_ms=0)
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def settings(local: LocalPersonalize, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    for name, value in (
        ("AWS_ENDPOINT_URL_PERSONALIZE_EVENTS", local.url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("CATALOG_URL", f"file://{tmp_path}/items.csv"),
        ("PERSONALIZE_ITEMS_DATASET_ARN", ARN),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def catalogue(**prices: float) -> None:
    rows = [f"{one},https://x/{one},Item {one},{price},https://x/{one}.png,toys,true" for one, price in prices.items()]
    Path("items.csv").write_text(HEAD + "\n".join(rows) + "\n", "utf-8")


def push(*arguments: str) -> Result:
    columns = () if "--columns" in arguments else ("--columns", "PRICE=price,CATEGORY=category,IN_STOCK=in_stock")
    return CliRunner().invoke(main, ["catalog", "push", *columns, *arguments])


def arrived(local: LocalPersonalize) -> list[dict[str, Any]]:
    puts = local.http.get("/_puts").json()["PutItems"]
    return [item for call in puts for item in call["items"]]


def test_only_what_has_changed_is_put(local: LocalPersonalize) -> None:
    catalogue(**{f"i{number}": 5 for number in range(23)})
    first = push()
    assert (first.exit_code, first.output.splitlines()[0]) == (0, "23 items put: 23 new, 0 changed")
    calls = local.http.get("/_puts").json()["PutItems"]
    assert [len(call["items"]) for call in calls] == [10, 10, 3]
    assert json.loads(arrived(local)[0]["properties"]) == {"category": "toys", "inStock": "true", "price": 5}
    catalogue(**{f"i{number}": 6 if number == 3 else 5 for number in range(1, 24)})
    second = push()
    assert second.output.splitlines() == [
        "2 items put: 1 new, 1 changed",
        "21 items are as they were",
        "1 left the catalogue; Personalize keeps them, and the service shows none of them",
    ]
    assert [item["itemId"] for item in arrived(local)[23:]] == ["i3", "i23"]
    assert "0 items put" in push().output
    assert "23 items put: 0 new, 23 changed" in push("--all").output
    # Lists have the new items.
    shown = local.recommend(userId="ann", numResults=30)["itemList"]
    assert {"i1", "i23"} <= {item["itemId"] for item in shown}


def test_a_dry_run_puts_nothing_and_notes_nothing(local: LocalPersonalize) -> None:
    catalogue(a=1, b=2)
    for _ in range(2):
        assert "2 items would be put: 2 new, 0 changed" in push("--dry-run").output
    assert arrived(local) == []
    assert "2 items put" in push().output


def test_an_item_that_personalize_refuses_keeps_nothing_back(local: LocalPersonalize) -> None:
    catalogue(a=1, b=2)
    with Path("items.csv").open("a") as file:
        file.write(f"{'x' * 250},https://x/c,C,3,https://x/c.png,{'long' * 8_000},true\n")
    result = push()
    assert result.exit_code == 3
    assert "1 items were not taken" in result.output
    assert "at most 32,000" in result.output
    assert len(arrived(local)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dataset-arn", DATASET_ARN + "NONE"), "ResourceNotFoundException"),
        (("--columns", "COLOUR=colour"), "the catalogue has no column colour"),
    ],
)
def test_what_cannot_work_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    catalogue(a=1)
    result = push(*arguments)
    assert (result.exit_code, said in result.output) == (2, True), result.output


class _Taker:
    """Takes items, and fails with what it was given."""

    def __init__(self, *failures: BaseException | None) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []
        self.calls = 0

    def put(self, items: Any) -> None:  # noqa: ANN401  # see `ItemTaker`
        self.calls += 1
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.taken += [item_id for item_id, _ in items]


class _Killed(BaseException):
    """The process ends here."""


def run(taker: _Taker, folder: Path, count: int = 25) -> PushReport:
    """One run over a catalogue of so many items, in a time that only it moves."""
    pushed, report, now = PushedItems(folder, ARN), PushReport(), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    for number in range(count):
        report.new += pushed.want(f"i{number}", "{}", anew=False)
    try:
        ItemPush(taker, pushed, report, clock=lambda: now[0], sleep=sleep).run()
    finally:
        pushed.close()
    report.unchanged = int(now[0] * 1000)
    return report


def test_a_run_that_was_killed_goes_on_behind_the_last_call(tmp_path: Path) -> None:
    killed = _Taker(None, _Killed())
    with pytest.raises(_Killed):
        run(killed, tmp_path)
    assert len(killed.taken) == 10
    after = _Taker()
    assert run(after, tmp_path).put == 15
    assert sorted(killed.taken + after.taken) == sorted(f"i{number}" for number in range(25))


def test_throttling_and_failures_are_waited_out_at_ten_calls_a_second(tmp_path: Path) -> None:
    taker = _Taker(RecommenderThrottled("x"), RecommenderError("ResourceInUseException"), None)
    report = run(taker, tmp_path, count=1_000)
    assert (report.put, report.refused, taker.calls) == (1_000, 0, 102)
    assert report.unchanged >= 10_000 + 3_000 - 200


def test_one_item_that_is_refused_costs_no_other(tmp_path: Path) -> None:
    refusal = RecommenderRefused("InvalidInputException (400): bad")
    report = run(_Taker(refusal, None, refusal), tmp_path, count=10)
    assert (report.put, report.refused, report.problems) == (9, 1, ["i1: InvalidInputException (400): bad"])


def test_the_schema_says_which_columns_are_put_and_of_which_type() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "PRICE", "type": "float"},
        {"name": "CATEGORY_L1", "type": ["null", "string"], "categorical": True},
        {"name": "NUM_RATINGS", "type": ["int", "null"]},
        {"name": "ACTIVE", "type": "boolean"},
        {"name": "ELSEWHERE", "type": ["null", "string"]},
    ]
    avro = json.dumps({"type": "record", "name": "Items", "fields": fields})
    schema = schema_of(avro, ["id", "price", "Category L1", "numRatings", "active", "further"])
    values = {"price": 3, "Category L1": ["a", "b"], "numRatings": "7", "active": "yes", "further": 1}
    assert json.loads(schema.properties(values)) == {
        "price": 3.0,
        "categoryL1": "a|b",
        "numRatings": 7,
        "active": True,
    }
    with pytest.raises(ValueError, match="price: is missing"):
        schema.properties({"active": True})
    with pytest.raises(ValueError, match="is no number"):
        schema.properties({"active": True, "price": "cheap"})
    with pytest.raises(ConfigurationError, match="no column for PRICE, ACTIVE"):
        schema_of(avro, ["id"])
