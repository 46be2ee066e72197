"""What an import takes, and what it fails with."""

import gzip
import json
from pathlib import Path

import pytest

from tests.support.personalize_account import INTERACTIONS, ITEMS, ROLE, Account, write_shop

HEADER = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n"


def _rows(count: int = 1000) -> str:
    return "".join(f"u{n % 40},i{n % 60},{1_700_000_000 + n},View\n" for n in range(count))


def _load(account: Account, text: str) -> dict[str, object]:
    dataset = account.dataset(account.group(), "Interactions", INTERACTIONS)
    file = account.folder / "given.csv"
    file.write_text(text, encoding="utf-8")
    return account.load(dataset, f"file://{file}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "USER_ID,ITEM_ID\n" + "u,i\n" * 1000,
            r"Input CSV is missing the following columns: \[TIMESTAMP, EVENT_TYPE\]",
        ),
        (HEADER + _rows(999), "999, is less than the minimum of 1000"),
        (
            HEADER + _rows() + "u,i,1700000000000,View\n",
            "Line 1002 .* TIMESTAMP has '1700000000000', .* not in seconds",
        ),
        (HEADER + _rows() + "u,i,soon,View\n", "TIMESTAMP has 'soon'"),
        (HEADER + _rows() + "u,,1700000000,View\n", "ITEM_ID is empty, but is not nullable"),
        (HEADER + _rows() + "u,i,1700000000\n", "has 3 fields, its header 4"),
        (HEADER + _rows() + f"{'u' * 257},i,1700000000,View\n", "USER_ID is longer than 256"),
        ("", "is empty"),
    ],
)
def test_rows_that_do_not_fit_the_schema_fail_the_job_with_a_reason(account: Account, text: str, reason: str) -> None:
    job = _load(account, text)
    assert job["status"] == "CREATE FAILED"
    assert isinstance(job["failureReason"], str)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(job["failureReason"])


def test_a_place_without_a_file_fails_the_job(account: Account) -> None:
    dataset = account.dataset(account.group(), "Interactions", INTERACTIONS)
    job = account.load(dataset, f"file://{account.folder}/none.csv")
    assert job["status"] == "CREATE FAILED"
    assert str(job["failureReason"]).startswith("Insufficient privileges for accessing data in Amazon S3")


def test_a_folder_of_plain_and_packed_files_is_one_import(account: Account) -> None:
    folder = account.folder / "many"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + _rows(500), encoding="utf-8")
    (folder / "b.csv.gz").write_bytes(gzip.compress((HEADER + _rows(500)).encode()))
    dataset = account.dataset(account.group(), "Interactions", INTERACTIONS)
    assert account.load(dataset, f"file://{folder}/")["status"] == "ACTIVE"


def test_an_incremental_import_needs_a_full_one_and_adds_to_it(account: Account) -> None:
    files = write_shop(account.folder, people=30)
    dataset = account.dataset(account.group(), "Items", ITEMS)
    with pytest.raises(account.personalize.exceptions.InvalidInputException, match="needs a FULL import"):
        account.load(dataset, f"file://{files['Items']}", importMode="INCREMENTAL")
    account.load(dataset, f"file://{files['Items']}", name="full")
    more = account.folder / "more.csv"
    more.write_text("ITEM_ID,CATEGORY,PRICE,DESCRIPTION\nnew,camp,1,\n", encoding="utf-8")
    account.load(dataset, f"file://{more}", name="more", importMode="INCREMENTAL")
    assert _exported(account, dataset).count("\n") == 62

    account.load(dataset, f"file://{more}", name="only")
    assert _exported(account, dataset).count("\n") == 2


def _exported(account: Account, dataset: str) -> str:
    name = f"export-{account.clock.now:.0f}"
    output = account.folder / name
    account.personalize.create_dataset_export_job(
        jobName=name,
        datasetArn=dataset,
        ingestionMode="ALL",
        roleArn=ROLE,
        jobOutput={"s3DataDestination": {"path": f"file://{output}/"}},
    )
    account.wait()
    return (output / "items.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{}", "not an Avro record"),
        (
            '{"type":"record","name":"Items","fields":[{"name":"ITEM_ID","type":"string"}]}',
            "at least one metadata field",
        ),
        ('{"type":"record","name":"Users","fields":[{"name":"USER_ID","type":"bytes"}]}', "bytes, which is not supp"),
        (json.dumps({**INTERACTIONS, "fields": INTERACTIONS["fields"][:2]}), "TIMESTAMP of type long"),
    ],
)
def test_a_schema_that_no_dataset_could_have_is_refused(account: Account, schema: str, reason: str) -> None:
    with pytest.raises(account.personalize.exceptions.InvalidInputException, match=reason):
        account.personalize.create_schema(name="wrong", schema=schema)


def test_a_second_dataset_of_a_type_is_refused(account: Account) -> None:
    group = account.group()
    account.dataset(group, "Interactions", INTERACTIONS)
    with pytest.raises(account.personalize.exceptions.ResourceAlreadyExistsException):
        account.dataset(group, "interactions", INTERACTIONS)


def test_users_whose_deletion_is_asked_for_are_gone(account: Account, tmp_path: Path) -> None:
    group = account.shop(people=120)
    listed = tmp_path / "gone.csv"
    listed.write_text("USER_ID\ncook1\n", encoding="utf-8")
    job = account.personalize.create_data_deletion_job(
        jobName="gone", datasetGroupArn=group, dataSource={"dataLocation": f"file://{listed}"}, roleArn=ROLE
    )["dataDeletionJobArn"]
    account.wait()

    described = account.personalize.describe_data_deletion_job(dataDeletionJobArn=job)["dataDeletionJob"]

    assert described["status"] == "COMPLETED"
    assert described["numDeleted"] == 11
