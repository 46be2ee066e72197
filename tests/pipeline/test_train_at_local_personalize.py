"""`train` and `batch run` with the real SDK against a local Personalize, whose time passes when they wait."""

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import PipelineError
from service.pipeline.train import file
from service.pipeline.train.account import Account
from service.pipeline.train.amazon import AmazonControlPlane, AmazonStorage
from service.pipeline.train.apply import Applied, apply
from service.pipeline.train.batch import run_batch
from service.pipeline.train.destroy import destroy, doomed
from service.pipeline.train.promotion import promote, rollback
from service.pipeline.train.sources import Sources
from service.pipeline.train.versions import baseline_of, recommender_metrics, versions_of
from service.pipeline.train.wanted import stages_of
from tests.support import personalize_account
from tests.support.personalize_account import opened_account
from tests.support.plane import Quiet

pytestmark = pytest.mark.long

SHOP = """
name = "shop"
role_arn = "arn:aws:iam::000000000000:role/personalize"
upload = "file://uploads/"
event_tracker = true

[data]
interactions = "interactions.csv"
items = "items.csv"
users = "users.csv"

[filters]
not-bought = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")'

[solutions.for-you]
recipe = "user-personalization-v2"

[solutions.popular]
recipe = "popularity-count"

[campaigns.for-you]
solution = "for-you"

[batch.nightly]
solution = "for-you"
filter = "not-bought"
results = 5
output = "file:///batch/"
"""


class Killed(BaseException):
    """As a signal that nobody can catch would."""


class RecordingPlane(AmazonControlPlane):
    """Counts the creations that went through, and may die around any call."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[str] = Counter()
        self.changed: list[str] = []
        self.around: Callable[[], None] = lambda: None

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  # each operation has its own
        self.around()
        answer = super().call(operation, **fields)
        if operation.startswith("create_"):
            self.made[operation] += 1
        if not operation.startswith(("list_", "describe_", "get_")):
            self.changed.append(operation)
        self.around()
        return answer


class Shop:
    """A pipeline over a local Personalize."""

    def __init__(self, folder: Path, amazon: personalize_account.Account) -> None:
        self.folder, self.amazon, self.plane, self.display = folder, amazon, RecordingPlane(), Quiet()
        self.storage = AmazonStorage()
        text = SHOP.replace("file:///batch/", f"file://{folder}/batch/")
        (folder / "personalize.toml").write_text(text, "utf-8")
        self.data(people=120)
        self.terms = file.read_terms(folder / "personalize.toml")
        self.account = Account(
            plane=self.plane,
            display=self.display,
            sleep=lambda _: amazon.wait(30),
            clock=lambda: 0.0,
        )

    def data(self, *, people: int) -> None:
        personalize_account.write_shop(self.folder, people=people)

    def apply(self) -> Applied:
        sources = Sources(
            self.terms, account=self.account, storage=self.storage, display=self.display, now=self.amazon.clock()
        )
        with sources:
            return apply(self.account, stages_of(self.terms, sources.wanted()), check_data=sources.check)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with opened_account(tmp_path) as amazon:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE", amazon.server.url)
        for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "local"), ("SECRET_ACCESS_KEY", "local")):
            monkeypatch.setenv(f"AWS_{name}", value)
        yield Shop(tmp_path, amazon)


EVERYTHING = Counter(
    create_dataset_group=1, create_schema=3, create_dataset=3, create_event_tracker=1, create_dataset_import_job=3,
    create_filter=1, create_solution=2, create_solution_version=2, create_campaign=1,
)  # fmt: skip


def test_from_csv_to_a_better_version_and_back_and_to_a_batch_job(shop: Shop) -> None:
    first = shop.apply()
    assert shop.plane.made == EVERYTHING
    found = shop.amazon.ids(first.arns["campaign for-you"], userId="cook1", numResults=5)
    assert sum(item.startswith("cook") for item in found) >= 4

    shop.plane.changed.clear()
    assert shop.apply().arns == first.arns
    assert shop.plane.changed == []

    shop.data(people=150)
    shop.apply()
    versions = versions_of(shop.account, shop.terms)
    served, newer = (one for one in versions if one.solution == "for-you")
    baseline = baseline_of(shop.terms, versions)
    assert (served.data["interactions"]["rows"], newer.data["interactions"]["rows"]) == ("1200", "1500")
    assert baseline is not None
    assert (newer.score or 0) > (baseline.score or 0)

    promote(shop.account, shop.terms, "for-you", is_forced=True)
    described = shop.amazon.personalize.describe_campaign(campaignArn=first.arns["campaign for-you"])["campaign"]
    assert described["solutionVersionArn"] == newer.resource.arn
    assert rollback(shop.account, shop.terms, "for-you").after.resource.arn == served.resource.arn

    output = run_batch(
        shop.account, shop.terms, "nightly", ["cook1", "camp3"], key="userId", storage=shop.storage,
        today=dt.date(2026, 11, 25),
    )  # fmt: skip
    [path] = Path(output.url.removeprefix("file://")).glob("*.out")
    lists = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [one["input"]["userId"] for one in lists] == ["cook1", "camp3"]
    assert [len(one["output"]["recommendedItems"]) for one in lists] == [5, 5]

    destroy(shop.account, doomed(shop.account, shop.terms))
    assert shop.amazon.personalize.list_dataset_groups()["datasetGroups"] == []
    assert shop.amazon.personalize.list_schemas()["schemas"] == []


def test_an_apply_killed_at_twenty_random_points_ends_in_the_same_resources_none_twice(shop: Shop) -> None:
    chance = random.Random(19)
    kills = 0

    def die() -> None:
        nonlocal kills
        if kills < 20 and chance.random() < 0.07:
            kills += 1
            raise Killed

    shop.plane.around = die
    while True:
        try:
            done = shop.apply()
        except Killed:
            continue
        break

    assert kills == 20
    # What was made, by Personalize's own lists: a creation whose answer never came back is counted too.
    listed = {
        "create_dataset_group": "dataset_groups", "create_schema": "schemas", "create_dataset": "datasets",
        "create_event_tracker": "event_trackers", "create_dataset_import_job": "dataset_import_jobs",
        "create_filter": "filters", "create_solution": "solutions", "create_solution_version": "solution_versions",
        "create_campaign": "campaigns",
    }  # fmt: skip
    there = {}
    for operation, plural in listed.items():
        answer = getattr(shop.amazon.personalize, f"list_{plural}")()
        there[operation] = len(next(value for value in answer.values() if isinstance(value, list)))
    assert Counter(there) == EVERYTHING
    assert len(done.arns) == sum(EVERYTHING.values())


def test_a_training_that_fails_is_a_line_in_amazons_words_and_is_tried_again(shop: Shop) -> None:
    shop.amazon.order(mode="fail_training", count=2)

    with pytest.raises(PipelineError) as raised:
        shop.apply()
    shop.apply()

    assert [line.partition("-")[0] for line in raised.value.problems] == [
        "solution version for",
        "solution version popular",
    ]
    assert all("CREATE FAILED: The training job failed" in line for line in raised.value.problems)


def test_a_domain_gets_recommenders_that_answer_and_change_their_tps(shop: Shop) -> None:
    path = shop.folder / "personalize.toml"
    text = path.read_text("utf-8").partition("[solutions.for-you]")[0].replace("[data]", 'domain = "ECOMMERCE"\n[data]')
    top = '[recommenders.top]\nuse_case = "aws-ecomm-recommended-for-you"\nmin_tps = {}\n'
    items = shop.folder / "items.csv"
    items.write_text(items.read_text("utf-8").replace("CATEGORY", "CATEGORY_L1"), "utf-8")
    path.write_text(text + top.format(1), "utf-8")
    shop.terms = file.read_terms(path)

    arn = shop.apply().arns["recommender top"]
    answer = shop.amazon.runtime.get_recommendations(recommenderArn=arn, userId="cook1", numResults=5)
    assert sum(item["itemId"].startswith("cook") for item in answer["itemList"]) >= 4
    [metrics] = recommender_metrics(shop.account, shop.terms).values()
    assert metrics["coverage"] > 0

    path.write_text(text + top.format(2), "utf-8")
    shop.terms = file.read_terms(path)
    shop.plane.changed.clear()
    shop.apply()
    assert shop.plane.changed == ["update_recommender"]
    described = shop.amazon.personalize.describe_recommender(recommenderArn=arn)["recommender"]
    assert described["recommenderConfig"]["minRecommendationRequestsPerSecond"] == 2
