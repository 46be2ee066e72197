"""`train` and `batch run` as an operator types them, against a local Personalize that is fast."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.support import personalize_account
from tests.support.personalize_account import Account, opened_account

pytestmark = pytest.mark.long

SHOP = """
name = "shop"
role_arn = "arn:aws:iam::000000000000:role/personalize"
upload = "file://{folder}/uploads/"

[data]
interactions = "interactions.csv"
items = "items.csv"

[solutions.for-you]
recipe = "user-personalization"

[solutions.popular]
recipe = "popularity-count"

[campaigns.for-you]
solution = "for-you"
min_tps = 2

[batch.nightly]
solution = "for-you"
output = "file://{folder}/batch/"

[prices]
training_hour = 0.5
tps_hour = 0.1
"""


def run(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, words, input=typed)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.chdir(tmp_path)
    Path("personalize.toml").write_text(SHOP.format(folder=tmp_path), "utf-8")
    personalize_account.write_shop(tmp_path, people=120)
    with opened_account(tmp_path) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE", opened.server.url)
        for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "local"), ("SECRET_ACCESS_KEY", "local")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setattr("service.cli.train.account", lambda *_: _account(opened))
        yield opened


def _account(opened: Account) -> object:
    from service.pipeline.train.account import Account as TrainAccount  # noqa: PLC0415
    from service.pipeline.train.amazon import AmazonControlPlane  # noqa: PLC0415
    from tests.support.plane import Quiet  # noqa: PLC0415

    return TrainAccount(plane=AmazonControlPlane(), display=Quiet(), sleep=lambda _: opened.wait(30), clock=lambda: 0.0)


def test_an_operator_plans_applies_looks_and_takes_it_down(account: Account) -> None:
    planned = run("train", "plan")
    assert planned.exit_code == 0, planned.output
    assert "make   campaign shop-for-you-" in planned.output
    assert "0.50  solution version for-you-" in planned.output
    assert "146.00  2 TPS at the minimum, 0 of 1 running already" in planned.output

    refused = run("train", "apply", typed="n\n")
    assert refused.exit_code == 1
    assert account.personalize.list_dataset_groups()["datasetGroups"] == []

    applied = run("train", "apply", typed="y\n")
    assert applied.exit_code == 0, applied.output
    assert "campaign_arn" in Path("placements.toml").read_text("utf-8")

    again = json.loads(run("train", "apply", "--yes", "--json").stdout)
    assert {step["outcome"] for step in again["steps"]} == {"keep"}
    assert "ACTIVE" in run("train", "status").output

    metrics = run("train", "metrics").output
    assert "NDCG@10" in metrics
    assert "serving" in metrics
    assert "baseline" in metrics

    assert "serves for-you-" in run("train", "promote", "for-you").output
    assert run("train", "rollback", "for-you").exit_code == 1

    assert run("train", "destroy", typed="n\n").exit_code == 1
    assert run("train", "destroy", "--yes").output.splitlines()[-1] == "all of it is deleted"
    assert run("train", "destroy", "--yes").output.splitlines() == ["there is nothing to delete"]


def test_a_wrong_file_ends_with_2_and_a_line_for_each_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("personalize.toml").write_text('name = "a shop"\nrols = 1\n[data]\n', "utf-8")

    result = run("train", "plan")

    assert result.exit_code == 2
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == ["name", "rols"]


def test_without_a_role_nothing_is_applied_and_the_way_out_is_named(account: Account) -> None:
    path = Path("personalize.toml")
    path.write_text(
        "".join(line for line in path.read_text().splitlines(keepends=True) if "role_arn" not in line), "utf-8"
    )

    result = run("train", "apply", "--yes")

    assert result.exit_code == 2
    assert "--create-role" in result.stderr
    assert account.personalize.list_dataset_groups()["datasetGroups"] == []


def test_the_lists_of_a_batch_job_are_loaded_for_the_service(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", "apply", "--yes").exit_code == 0
    (tmp_path / "catalog.csv").write_text("id,url,name,price,image\ncook-1,u,n,1,i\n", "utf-8")
    for name, value in {
        "PLACEMENTS_FILE": "placements.toml", "CATALOG_URL": "file:catalog.csv", "ALLOW_ANONYMOUS": "true",
        "DATA_DIR": str(tmp_path / "data"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("service.cli.batch_run.Account", lambda **_: _account(account))

    first = run("batch", "run", "--users", "users.csv")
    again = run("batch", "run", "--users", "users.csv", "--no-load")

    assert first.exit_code == 0, first.output
    assert "120 lists active" in first.output
    # The same users on the same day are the same job.
    assert again.stdout.splitlines()[0] == first.stdout.splitlines()[0]
    assert len(account.personalize.list_batch_inference_jobs()["batchInferenceJobs"]) == 1


def test_a_batch_is_scheduled_for_kubernetes_and_for_eventbridge(account: Account) -> None:
    del account

    result = run("batch", "run", "--users", "users.csv", "--schedule", "30 2 * * 1")

    assert result.exit_code == 0, result.output
    assert 'args: ["personalize-connect", "batch", "run", "nightly"' in result.output
    # Kubernetes counts from Sunday as 0, EventBridge as 1.
    assert 'schedule: "30 2 * * 1"' in result.output
    assert "cron(30 2 ? * 2 *)" in result.output
