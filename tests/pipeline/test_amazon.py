"""S3 and IAM as the pipeline uses them, through moto."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.errors import PipelineError
from service.pipeline.train import file
from service.pipeline.train.amazon import AmazonControlPlane, AmazonStorage
from service.pipeline.train.roles import create_role
from service.pipeline.train.terms import PipelineTerms
from tests.support.amazon import DENIED, Amazon
from tests.support.shop_data import as_csv, catalogue, interactions


@pytest.fixture
def bucket(amazon: Amazon) -> Amazon:
    amazon.client("s3").create_bucket(Bucket="shop")
    return amazon


@pytest.fixture
def terms(tmp_path: Path) -> PipelineTerms:
    path = tmp_path / "personalize.toml"
    path.write_text(
        'name = "shop"\nupload = "s3://shop/up/"\n[data]\ninteractions = "s3://other/events/"\n', encoding="utf-8"
    )
    return file.read_terms(path)


def test_data_in_s3_is_checked_where_it_is(bucket: Amazon) -> None:
    rows = interactions()
    rows[700][3] = "soon"
    client = bucket.client("s3")
    client.put_object(Bucket="shop", Key="export/interactions/1.csv", Body=as_csv(rows[:601]).encode())
    client.put_object(Bucket="shop", Key="export/interactions/2.csv", Body=as_csv([rows[0], *rows[601:]]).encode())
    client.put_object(Bucket="shop", Key="export/items.csv", Body=as_csv(catalogue()).encode())

    result = CliRunner().invoke(main, ["data", "check", "s3://shop/export/", "--json"])

    report = json.loads(result.stdout)
    [fault] = [one for one in report["findings"] if one["level"] == "error"]
    assert (fault["file"], fault["line"]) == ("s3://shop/export/interactions/2.csv", 101)
    assert report["datasets"]["interactions"]["rows"] == 1_200


def test_a_file_is_put_into_s3_and_found_there(bucket: Amazon, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("ITEM_ID\n1\n", "utf-8")
    storage = AmazonStorage()
    assert not storage.has("s3://shop/up/items.csv")

    storage.put(path, "s3://shop/up/items.csv")

    assert storage.has("s3://shop/up/items.csv")
    assert bucket.client("s3").get_object(Bucket="shop", Key="up/items.csv")["Body"].read() == b"ITEM_ID\n1\n"


def test_a_bucket_that_refuses_is_a_line(bucket: Amazon, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("ITEM_ID\n1\n", "utf-8")
    bucket.refused["PUT"] = DENIED

    with pytest.raises(PipelineError, match=r"^s3://shop/up/items.csv: .*(AccessDenied|denied)"):
        AmazonStorage().put(path, "s3://shop/up/items.csv")


def test_a_personalize_that_cannot_be_reached_is_a_line(
    terms: PipelineTerms, monkeypatch: pytest.MonkeyPatch, bucket: Amazon
) -> None:
    del terms, bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE", "http://127.0.0.1:9")
    monkeypatch.setattr("service.pipeline.train.amazon._CONFIG", None)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(PipelineError, match="list schemas: Could not connect"):
        AmazonControlPlane().call("list_schemas")


def test_the_role_may_read_and_write_the_buckets_and_is_made_once(terms: PipelineTerms, bucket: Amazon) -> None:
    iam = bucket.client("iam")

    first, second = create_role(terms), create_role(terms)

    assert first.arn == second.arn
    policy = iam.get_role_policy(RoleName="shop-personalize", PolicyName="personalize-data")["PolicyDocument"]
    assert policy["Statement"][0]["Resource"] == [
        "arn:aws:s3:::other", "arn:aws:s3:::other/*", "arn:aws:s3:::shop", "arn:aws:s3:::shop/*",
    ]  # fmt: skip
    trust = iam.get_role(RoleName="shop-personalize")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "personalize.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    assert set(first.bucket_policy) == {"other", "shop"}
