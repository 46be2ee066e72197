"""What `train` makes in Personalize, over a control plane in memory."""

import random
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from service.errors import ConfigurationError, PipelineError
from service.pipeline.data.limits import KINDS, DatasetKind
from service.pipeline.train import file
from service.pipeline.train.account import Account
from service.pipeline.train.apply import Applied, apply, look
from service.pipeline.train.destroy import destroy, doomed
from service.pipeline.train.placements import placements_toml
from service.pipeline.train.promotion import promote, rollback
from service.pipeline.train.sources import Sources
from service.pipeline.train.terms import PipelineTerms
from service.pipeline.train.versions import changes_between, versions_of
from service.pipeline.train.wanted import DataWanted, Wanted, stages_of
from service.settings.placement_file import read_placements
from tests.support.plane import Plane, Quiet, Shelf
from tests.support.shop_data import NOW, as_csv, interactions, write_shop

SHOP = """
name = "shop"
role_arn = "arn:aws:iam::000000000000:role/personalize"
upload = "s3://bucket/data/"
event_tracker = true

[data]
interactions = "interactions.csv"
items = "items.csv"
users = "users.csv"

[filters]
not-bought = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")'

[solutions.for-you]
recipe = "user-personalization-v2"
event_weights = { Purchase = 1.0, View = 0.2 }

[solutions.popular]
recipe = "popularity-count"

[solutions.alike]
recipe = "aws-similar-items"
hpo = { jobs = 4, parallel = 2, integer = [ { name = "item_id_hidden_dim", min = 30, max = 200 } ] }

[campaigns.for-you]
solution = "for-you"
min_tps = 5
filter = "not-bought"

[campaigns.alike]
solution = "alike"
placement = "similar"
"""


class Killed(BaseException):
    """As a signal that nobody can catch would: no `except Exception` sees it."""


class Shop:
    """A pipeline over a plane and a shelf that outlive each run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "personalize.toml"
        self.path.write_text(SHOP, "utf-8")
        write_shop(folder)
        self.plane, self.shelf, self.display = Plane(), Shelf(), Quiet()
        self.account = Account(plane=self.plane, display=self.display, sleep=lambda _: None, clock=lambda: 0.0)

    @property
    def terms(self) -> PipelineTerms:
        return file.read_terms(self.path)

    def edit(self, old: str, new: str) -> None:
        text = self.path.read_text("utf-8")
        assert old in text
        self.path.write_text(text.replace(old, new), "utf-8")

    def stages(self) -> list[list[Wanted]]:
        """Over data that nobody has to read: its content names it."""
        return stages_of(self.terms, {kind: self._data(kind) for kind in KINDS})

    def _data(self, kind: DatasetKind) -> DataWanted:
        content = self.path.with_name(f"{kind}.csv").read_bytes()
        return DataWanted(
            kind=kind,
            fingerprint=sha256(content).hexdigest()[:10],
            schema=lambda: "{}",
            schema_hash="",
            location=lambda: f"s3://bucket/data/{kind}.csv",
            facts=lambda: {"rows": str(content.count(b"\n") - 1)},
        )

    def apply(self) -> Applied:
        return apply(self.account, self.stages(), check_data=lambda: None)

    def apply_reading(self) -> Applied:
        """With the data read, converted and uploaded."""
        with Sources(
            self.terms, account=self.account, storage=self.shelf, display=self.display, now=NOW + 1e6
        ) as sources:
            return apply(self.account, stages_of(self.terms, sources.wanted()), check_data=sources.check)

    def more_data(self, rows: int = 1_300) -> None:
        self.path.with_name("interactions.csv").write_text(as_csv(interactions(rows)), "utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


EVERYTHING = Counter(
    create_dataset_group=1, create_schema=3, create_dataset=3, create_event_tracker=1, create_dataset_import_job=3,
    create_filter=1, create_solution=3, create_solution_version=3, create_campaign=2,
)  # fmt: skip


def test_apply_makes_all_of_it_and_a_second_run_changes_nothing(shop: Shop) -> None:
    first = shop.apply_reading()

    assert shop.plane.changes() == EVERYTHING
    assert {one["status"] for one in shop.plane.resources.values() if "status" in one} == {"ACTIVE"}
    assert sorted(url.rpartition("/")[2].partition("-")[0] for url in shop.shelf.puts) == [
        "interactions", "items", "users",
    ]  # fmt: skip
    shop.plane.calls.clear()
    shop.shelf.puts.clear()
    second = shop.apply_reading()

    assert shop.plane.changes() == Counter()
    assert second.arns == first.arns
    assert shop.shelf.puts == []


def test_automatic_training_is_off_and_hpo_has_all_three_kinds_of_ranges(shop: Shop) -> None:
    shop.apply()
    solutions = {one["name"].split("-")[1]: one for one in shop.plane.of("solution")}

    assert [one["performAutoTraining"] for one in solutions.values()] == [False] * 3
    hpo = solutions["alike"]["solutionConfig"]["hpoConfig"]
    assert hpo["hpoResourceConfig"] == {"maxNumberOfTrainingJobs": "4", "maxParallelTrainingJobs": "2"}
    assert hpo["algorithmHyperParameterRanges"]["categoricalHyperParameterRanges"] == []


def test_plan_changes_nothing_and_says_what_apply_then_does(shop: Shop) -> None:
    seen = look(shop.account, shop.stages())

    assert shop.plane.changes() == Counter()
    done = shop.apply()
    assert [(step.wanted.key, step.outcome) for step in seen.steps] == [
        (step.wanted.key, step.outcome) for step in done.steps
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_run_killed_anywhere_and_started_again_makes_each_thing_once(shop: Shop, seed: int) -> None:
    rng = random.Random(seed)

    def kill(_: str) -> None:
        if rng.random() < 0.04:
            raise Killed

    # Before the call reaches Personalize, or after it and before the answer is here.
    shop.plane.before, shop.plane.after = kill, kill
    kills = 0
    while True:
        try:
            done = shop.apply()
            break
        except Killed:
            kills += 1
            if kills == 3:
                shop.plane.before = shop.plane.after = lambda _: None

    assert kills
    assert Counter(f"create_{stem}" for stem, _ in shop.plane.made) == EVERYTHING
    assert {one["status"] for one in shop.plane.resources.values() if "status" in one} == {"ACTIVE"}
    assert set(done.arns) >= {"campaign for-you", "campaign alike", "tracker", "filter not-bought"}


@pytest.mark.parametrize("moment", range(2, 60, 12))
def test_two_runs_at_once_make_each_thing_once(shop: Shop, moment: int) -> None:
    calls = 0

    def other(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == moment:
            shop.plane.before = lambda _: None
            shop.apply()

    shop.plane.before = other
    shop.apply()

    assert Counter(f"create_{stem}" for stem, _ in shop.plane.made) == EVERYTHING


def test_two_runs_that_meet_at_every_creation_make_each_thing_once(shop: Shop) -> None:
    inside = False

    def other(operation: str) -> None:
        nonlocal inside
        if operation.startswith("create_") and not inside:
            inside = True
            shop.apply()
            inside = False

    shop.plane.before = other
    shop.apply()

    assert Counter(f"create_{stem}" for stem, _ in shop.plane.made) == EVERYTHING


def test_new_data_is_imported_and_trained_on_and_the_campaign_stays(shop: Shop) -> None:
    first = shop.apply()
    shop.more_data()
    shop.plane.calls.clear()

    second = shop.apply()

    assert shop.plane.changes() == Counter(create_dataset_import_job=1, create_solution_version=3)
    assert second.arns["campaign for-you"] == first.arns["campaign for-you"]
    assert second.arns["version for-you"] != first.arns["version for-you"]


def test_retraining_makes_one_version_a_day_of_the_same_files(shop: Shop) -> None:
    shop.apply()
    shop.plane.calls.clear()

    for _ in range(2):
        data = {kind: shop._data(kind) for kind in KINDS}
        apply(shop.account, stages_of(shop.terms, data, retraining="20261125"), check_data=lambda: None)

    assert shop.plane.changes() == Counter(create_solution_version=3)


def test_versions_say_what_changed_in_their_data(shop: Shop) -> None:
    shop.apply()
    shop.more_data()
    shop.apply()

    before, after = (one for one in versions_of(shop.account, shop.terms) if one.solution == "for-you")

    assert "interactions: rows 1,200 -> 1,300" in changes_between(before, after)


def test_a_changed_tps_updates_the_campaign_only(shop: Shop) -> None:
    shop.apply()
    shop.plane.calls.clear()
    shop.edit("min_tps = 5", "min_tps = 7")

    done = shop.apply()

    assert shop.plane.changes() == Counter(update_campaign=1)
    assert [step.why for step in done.changes] == ["minProvisionedTPS becomes 7"]
    [campaign] = [one for one in shop.plane.of("campaign") if "for-you" in one["name"]]
    assert campaign["minProvisionedTPS"] == 7


def test_other_settings_make_another_solution_and_campaign_beside_the_old(shop: Shop) -> None:
    shop.apply()
    shop.plane.calls.clear()
    shop.edit("View = 0.2", "View = 0.1")

    shop.apply()

    assert shop.plane.changes() == Counter(create_solution=1, create_solution_version=1, create_campaign=1)
    assert len([one for one in shop.plane.of("campaign") if "for-you" in one["name"]]) == 2


def test_a_failure_is_a_line_with_its_reason_and_the_next_run_tries_again(shop: Shop) -> None:
    shop.plane.failures = {"dataset_import_job": "Insufficient privileges for accessing data in Amazon S3"}

    with pytest.raises(PipelineError, match="import job shop-interactions-.*Insufficient privileges"):
        shop.apply()
    shop.apply()

    names = [name for stem, name in shop.plane.made if stem == "dataset_import_job" and "interactions" in name]
    assert names[1] == f"{names[0]}-2"


def test_a_campaign_that_failed_is_deleted_and_made_anew(shop: Shop) -> None:
    shop.plane.failures = {"campaign": "no capacity"}

    with pytest.raises(PipelineError, match="no capacity"):
        shop.apply()
    shop.apply()

    assert shop.plane.changes()["delete_campaign"] == 1
    assert {one["status"] for one in shop.plane.of("campaign")} == {"ACTIVE"}


def test_every_failure_of_a_stage_is_said_at_once(shop: Shop) -> None:
    def refuse(operation: str) -> None:
        if operation == "create_filter":
            raise PipelineError("create filter: InvalidInputException: no such column")

    shop.plane.before = refuse
    shop.plane.failures = {"solution": "it broke"}

    with pytest.raises(PipelineError) as raised:
        shop.apply()

    assert len(raised.value.problems) == 2


def test_an_update_that_fails_is_read_from_the_latest_update(shop: Shop) -> None:
    shop.apply()
    shop.more_data()
    shop.apply()
    shop.plane.failures = {"update campaign": "the update failed"}

    with pytest.raises(PipelineError, match="the update failed"):
        promote(shop.account, shop.terms, "for-you")


def test_a_better_version_is_promoted_and_rolled_back(shop: Shop) -> None:
    shop.plane.scores = [0.3, 0.1, 0.3, 0.4, 0.1, 0.4]
    first = shop.apply()
    shop.more_data()
    second = shop.apply()

    switch = promote(shop.account, shop.terms, "for-you")
    [campaign] = [one for one in shop.plane.of("campaign") if "for-you" in one["name"]]
    assert (switch.before, campaign["solutionVersionArn"]) == (
        first.arns["version for-you"], second.arns["version for-you"],
    )  # fmt: skip
    assert not promote(shop.account, shop.terms, "for-you").is_changed

    rollback(shop.account, shop.terms, "for-you")
    assert campaign["solutionVersionArn"] == first.arns["version for-you"]
    with pytest.raises(PipelineError, match="no version before"):
        rollback(shop.account, shop.terms, "for-you")


@pytest.mark.parametrize(
    ("scores", "than"), [([0.3, 0.1, 0.3, 0.2, 0.1, 0.3], "served"), ([0.3, 0.1, 0.3, 0.4, 0.5, 0.3], "popularity")]
)
def test_a_worse_version_is_promoted_only_by_force(shop: Shop, scores: list[float], than: str) -> None:
    shop.plane.scores = scores
    shop.apply()
    shop.more_data()
    shop.apply()

    with pytest.raises(PipelineError, match=than):
        promote(shop.account, shop.terms, "for-you")
    assert promote(shop.account, shop.terms, "for-you", is_forced=True).is_changed


def test_the_service_reads_the_placements_that_apply_writes(shop: Shop, tmp_path: Path) -> None:
    done = shop.apply()
    path = tmp_path / "placements.toml"
    path.write_text(placements_toml(shop.terms, done.arns, "t-1"), "utf-8")

    placements = read_placements(path)[0]

    assert {name: (one.kind, one.tps, one.filter_arn) for name, one in placements.items()} == {
        "for-you": ("recommendations", 5, done.arns["filter not-bought"]),
        "similar": ("similar-items", 1, None),
    }
    assert placements["for-you"].campaign_arn == done.arns["campaign for-you"]


def test_destroy_leaves_nothing_and_touches_no_other_group(shop: Shop) -> None:
    shop.plane.call("create_dataset_group", name="other")
    shop.apply()

    destroy(shop.account, doomed(shop.account, shop.terms))

    assert [one["name"] for one in shop.plane.of("dataset_group")] == ["other"]
    assert not any(
        shop.plane.of(stem) for stem in ("campaign", "solution", "filter", "dataset", "schema", "event_tracker")
    )


def test_data_that_personalize_would_refuse_stops_before_anything_is_imported(shop: Shop) -> None:
    rows = interactions()
    rows[5][0] = ""
    shop.path.with_name("interactions.csv").write_text(as_csv(rows), "utf-8")

    for _ in range(2):
        with pytest.raises(PipelineError, match=r"interactions.csv:6: USER_ID: .*id-empty"):
            shop.apply_reading()

    assert shop.plane.changes() == Counter()


WRONG = {
    'name = "shop"': ('name = "my shop"', "name"),
    'recipe = "popularity-count"': ('recipe = "popularity"', "solutions.popular.recipe"),
    "min_tps = 5": ("min_tps = 0", "campaigns.for-you.min_tps"),
    'solution = "alike"': ('solution = "alik"', "campaigns.alike.solution"),
    'filter = "not-bought"': ('filter = "bought"', "campaigns.for-you.filter"),
    "event_tracker = true": ("event_traker = true", "event_traker"),
    "WHERE Interactions": ("WERE Interactions", "filters.not-bought"),
    'upload = "s3://bucket/data/"': ("", "upload"),
    "View = 0.2": ("View = 2", "solutions.for-you.event_weights.View"),
    'placement = "similar"': ('placement = "for-you"', "alike.placement"),
    'recipe = "user-personalization-v2"': ('recipe = "user-personalization"', "solutions.for-you.event_weights"),
    'items = "items.csv"': ('item = "items.csv"', "data.item"),
}


@pytest.mark.parametrize("old", WRONG)
def test_a_mistake_in_the_file_is_a_line_that_names_its_key(shop: Shop, old: str) -> None:
    new, key = WRONG[old]
    shop.edit(old, new)

    with pytest.raises(ConfigurationError) as raised:
        _ = shop.terms

    assert any(f"{shop.path}: {key}: " in problem for problem in raised.value.problems), raised.value.problems


def test_all_mistakes_of_the_file_are_said_at_once(shop: Shop) -> None:
    shop.edit("min_tps = 5", "min_tps = 0")
    shop.edit("event_tracker = true", "event_tracker = 7")
    shop.edit('role_arn = "arn', 'role_arn = "urn')

    with pytest.raises(ConfigurationError) as raised:
        _ = shop.terms

    assert len(raised.value.problems) == 3
