"""A bad day for rehearsal: what goes wrong in the control plane on order."""

import pytest
from botocore.exceptions import ClientError

from tests.support.personalize_account import INTERACTIONS, ROLE, Account, write_shop


def test_slow_imports_take_as_many_times_longer_as_ordered(account: Account) -> None:
    file = write_shop(account.folder, people=150)["Interactions"]
    dataset = account.dataset(account.group(), "Interactions", INTERACTIONS)
    account.order(mode="slow_imports", factor=20, count=1)

    def begin(name: str) -> str:
        arn: str = account.personalize.create_dataset_import_job(
            jobName=name, datasetArn=dataset, dataSource={"dataLocation": f"file://{file}"}, roleArn=ROLE
        )["datasetImportJobArn"]
        return arn

    def status(arn: str) -> str:
        job = account.personalize.describe_dataset_import_job(datasetImportJobArn=arn)["datasetImportJob"]
        return str(job["status"])

    slow = begin("slow")
    account.wait(199)
    assert status(slow) == "CREATE IN_PROGRESS"
    account.wait(1)
    assert status(slow) == "ACTIVE"
    usual = begin("usual")
    account.wait(10)
    assert status(usual) == "ACTIVE"


def test_a_training_that_fails_says_why_and_the_next_one_does_not(account: Account) -> None:
    group = account.shop()
    account.order(mode="fail_training", count=1, reason="out of luck")
    failed = account.version(group, "aws-popularity-count")
    sdk = account.personalize
    described = sdk.describe_solution_version(solutionVersionArn=failed)["solutionVersion"]
    assert (described["status"], described["failureReason"]) == ("CREATE FAILED", "out of luck")
    with pytest.raises(sdk.exceptions.ResourceInUseException):
        sdk.get_solution_metrics(solutionVersionArn=failed)
    with pytest.raises(sdk.exceptions.ResourceInUseException):
        sdk.create_campaign(name="none", solutionVersionArn=failed)

    again = account.again(failed.rpartition("/")[0])

    assert sdk.describe_solution_version(solutionVersionArn=again)["solutionVersion"]["status"] == "ACTIVE"


def test_a_campaign_update_that_fails_leaves_the_old_version_in_service(account: Account) -> None:
    group = account.shop()
    first = account.version(group, "aws-user-personalization")
    campaign = account.campaign(first)
    second = account.again(first.rpartition("/")[0])
    before = account.ids(campaign, userId="cook1")
    account.order(mode="fail_campaign_update", count=1)

    account.personalize.update_campaign(campaignArn=campaign, solutionVersionArn=second)
    account.wait()

    described = account.personalize.describe_campaign(campaignArn=campaign)["campaign"]
    assert described["status"] == "ACTIVE"
    assert described["solutionVersionArn"] == first
    assert described["latestCampaignUpdate"]["status"] == "UPDATE FAILED"
    assert described["latestCampaignUpdate"]["failureReason"]
    assert account.ids(campaign, userId="cook1") == before


@pytest.mark.parametrize("mode", ["fail_imports", "fail_campaign", "fail_batch"])
def test_what_else_can_fail_fails_with_a_reason_and_none_ends_it(account: Account, mode: str) -> None:
    group = account.shop()
    version = account.version(group, "aws-popularity-count")
    (account.folder / "in.json").write_text('{"userId": "cook1"}\n', encoding="utf-8")

    def outcome(name: str) -> dict[str, str]:
        sdk, place = account.personalize, f"file://{account.folder}/"
        if mode == "fail_imports":
            return account.load(account.made["Items"], f"{place}items.csv", name=name)
        if mode == "fail_campaign":
            arn = account.campaign(version, name)
            campaign: dict[str, str] = sdk.describe_campaign(campaignArn=arn)["campaign"]
            return campaign
        arn = sdk.create_batch_inference_job(
            jobName=name,
            solutionVersionArn=version,
            roleArn=ROLE,
            jobInput={"s3DataSource": {"path": f"{place}in.json"}},
            jobOutput={"s3DataDestination": {"path": f"{place}out/"}},
        )["batchInferenceJobArn"]
        account.wait()
        job: dict[str, str] = sdk.describe_batch_inference_job(batchInferenceJobArn=arn)["batchInferenceJob"]
        return job

    account.order(mode=mode)
    failed = outcome("one")
    assert failed["status"] == "CREATE FAILED"
    assert failed["failureReason"]
    account.order(mode="none")
    assert outcome("two")["status"] == "ACTIVE"


def test_a_throttled_control_plane_refuses_every_call_and_spares_the_runtime(account: Account) -> None:
    campaign = account.campaign(account.version(account.shop(), "aws-popularity-count"))
    account.order(mode="throttle")
    with pytest.raises(ClientError) as raised:
        account.personalize.list_campaigns()
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"
    assert account.ids(campaign, userId="cook1")

    account.order(mode="none")
    assert len(account.personalize.list_campaigns()["campaigns"]) == 1


@pytest.mark.parametrize(
    "order",
    [
        {"mode": "fail_training", "count": 0},
        {"mode": "slow_imports", "factor": 0},
        {"mode": "fail_the_moon"},
        {"of": "control", "mode": "fail_training", "count": "often"},
    ],
)
def test_an_order_that_is_none_is_refused(account: Account, order: dict[str, object]) -> None:
    assert account.server.http.post("/_faults", json={"of": "control", **order}).status_code == 400
