"""Imports from and batch output to any server of S3's protocol."""

import json
from collections.abc import Iterator

import pytest

from tests.support.amazon import Amazon
from tests.support.personalize_account import INTERACTIONS, ROLE, Account, write_shop


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    with Amazon() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name.replace("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"), value)
        running.client("s3").create_bucket(Bucket="shop")
        yield running


def test_data_come_from_a_bucket_and_lists_go_into_one(amazon: Amazon, account: Account) -> None:
    s3 = amazon.client("s3")
    lines = write_shop(account.folder, people=150)["Interactions"].read_text("utf-8").splitlines(keepends=True)
    for name, part in (("a", lines[1:700]), ("b", lines[700:])):
        s3.put_object(Bucket="shop", Key=f"in/{name}.csv", Body="".join([lines[0], *part]).encode())
    group = account.group()
    job = account.load(account.dataset(group, "Interactions", INTERACTIONS), "s3://shop/in/")
    assert job["status"] == "ACTIVE", job
    version = account.version(group, "aws-user-personalization")
    s3.put_object(Bucket="shop", Key="users.json", Body=b'{"userId": "cook1"}\n{"userId": "camp0"}\n')

    account.personalize.create_batch_inference_job(
        jobName="lists",
        solutionVersionArn=version,
        roleArn=ROLE,
        numResults=5,
        jobInput={"s3DataSource": {"path": "s3://shop/users.json"}},
        jobOutput={"s3DataDestination": {"path": "s3://shop/out/"}},
    )
    account.wait()

    body = s3.get_object(Bucket="shop", Key="out/users.json.out")["Body"].read().splitlines()
    assert [json.loads(line)["output"]["recommendedItems"][0][:4] for line in body] == ["cook", "camp"]


def test_a_bucket_that_is_not_there_is_a_failure_with_a_reason(amazon: Amazon, account: Account) -> None:
    assert amazon.url
    dataset = account.dataset(account.group(), "Interactions", INTERACTIONS)
    job = account.load(dataset, "s3://nothing/here.csv")
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"].startswith("Insufficient privileges for accessing data in Amazon S3")
