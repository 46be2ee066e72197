"""Statuses that pass with Amazon's time, names that are taken, quotas, and deletes of what is in use."""

from functools import partial
from pathlib import Path

import pytest

from service.local_personalize.control.quotas import DEFAULTS
from service.local_personalize.errors import LocalPersonalizeError
from tests.support.personalize_account import INTERACTIONS, ITEMS, ROLE, Account, opened_account, write_shop


def _status(account: Account, group: str) -> str:
    status: str = account.personalize.describe_dataset_group(datasetGroupArn=group)["datasetGroup"]["status"]
    return status


def test_a_resource_is_pending_then_in_progress_then_active(account: Account) -> None:
    group = account.personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    assert _status(account, group) == "CREATE PENDING"
    account.wait(0.5)
    assert _status(account, group) == "CREATE IN_PROGRESS"
    account.wait(0.5)
    assert _status(account, group) == "ACTIVE"


def test_speed_makes_the_same_minutes_pass_sooner(tmp_path: Path) -> None:
    with opened_account(tmp_path, speed=60) as account:
        group = account.personalize.create_dataset_group(name="shop")["datasetGroupArn"]
        account.clock.now += 1
        assert _status(account, group) == "ACTIVE"


def test_a_name_that_is_taken_is_refused_with_the_arn(account: Account) -> None:
    group = account.group()
    with pytest.raises(account.personalize.exceptions.ResourceAlreadyExistsException, match=group):
        account.personalize.create_dataset_group(name="shop")


def test_what_is_not_active_yet_cannot_be_built_upon(account: Account) -> None:
    group = account.personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    schema = account.schema("events", INTERACTIONS)
    with pytest.raises(account.personalize.exceptions.ResourceInUseException, match="must be ACTIVE"):
        account.personalize.create_dataset(
            name="events", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions"
        )


def test_what_is_in_use_cannot_be_deleted_and_all_goes_from_the_campaign_down(account: Account) -> None:
    group = account.shop()
    version = account.version(group, "aws-popularity-count")
    campaign = account.campaign(version)
    sdk = account.personalize
    solution = sdk.describe_solution_version(solutionVersionArn=version)["solutionVersion"]["solutionArn"]
    in_use = sdk.exceptions.ResourceInUseException
    with pytest.raises(in_use, match=campaign):
        sdk.delete_solution(solutionArn=solution)
    with pytest.raises(in_use, match=solution):
        sdk.delete_dataset(datasetArn=account.made["Interactions"])
    with pytest.raises(in_use):
        sdk.delete_dataset_group(datasetGroupArn=group)

    sdk.delete_campaign(campaignArn=campaign)
    assert sdk.describe_campaign(campaignArn=campaign)["campaign"]["status"] == "DELETE PENDING"
    account.wait()
    sdk.delete_solution(solutionArn=solution)
    account.wait()
    for dataset in account.made.values():
        sdk.delete_dataset(datasetArn=dataset)
    account.wait()
    sdk.delete_dataset_group(datasetGroupArn=group)
    account.wait()

    with pytest.raises(sdk.exceptions.ResourceNotFoundException):
        sdk.describe_dataset_group(datasetGroupArn=group)
    assert sdk.list_campaigns()["campaigns"] == []


def test_a_deleted_solution_takes_its_versions_with_it(account: Account) -> None:
    version = account.version(account.shop(), "aws-popularity-count")
    account.personalize.delete_solution(solutionArn=version.rpartition("/")[0])
    account.wait()
    with pytest.raises(account.personalize.exceptions.ResourceNotFoundException):
        account.personalize.describe_solution_version(solutionVersionArn=version)


def test_a_sixth_import_job_at_once_is_one_too_many(tmp_path: Path) -> None:
    with opened_account(tmp_path, quotas={**DEFAULTS, "dataset-groups": 6}) as account:
        _begin_six_imports(account)


def _begin_six_imports(account: Account) -> None:
    file = write_shop(account.folder, people=150)["Interactions"]
    for place in range(6):
        group = account.group(f"shop-{place}")
        account.dataset(group, "Interactions", INTERACTIONS)
        account.made[f"_{place}"] = account.made["Interactions"]

    def begin(place: int) -> None:
        account.personalize.create_dataset_import_job(
            jobName=f"load-{place}",
            datasetArn=account.made[f"_{place}"],
            dataSource={"dataLocation": f"file://{file}"},
            roleArn=ROLE,
        )

    for place in range(5):
        begin(place)
    with pytest.raises(account.personalize.exceptions.LimitExceededException, match="More than 5 resources with PEND"):
        begin(5)
    account.wait()
    begin(5)


def test_the_filters_of_a_group_share_a_bound_of_fields(tmp_path: Path) -> None:
    with opened_account(tmp_path, quotas={**DEFAULTS, "filter-fields": 2}) as account:
        group = account.group()
        for kind, schema in (("Interactions", INTERACTIONS), ("Items", ITEMS)):
            account.dataset(group, kind, schema)

        def make(name: str, condition: str) -> None:
            expression = f"INCLUDE ItemID WHERE {condition}"
            account.personalize.create_filter(name=name, datasetGroupArn=group, filterExpression=expression)

        make("one", "Items.PRICE < 5")
        make("two", 'Items.PRICE < 9 AND Items.CATEGORY IN ("camp")')
        with pytest.raises(account.personalize.exceptions.LimitExceededException, match="3 distinct fields"):
            make("three", 'Interactions.EVENT_TYPE IN ("View")')


def test_a_quota_that_was_set_at_the_start_holds(tmp_path: Path) -> None:
    with opened_account(tmp_path, quotas={"dataset-groups": 1}) as account:
        account.group()
        with pytest.raises(account.personalize.exceptions.LimitExceededException):
            account.personalize.create_dataset_group(name="another")


def test_a_group_has_one_event_tracker(account: Account) -> None:
    group = account.group()
    account.dataset(group, "Interactions", INTERACTIONS)
    account.personalize.create_event_tracker(name="one", datasetGroupArn=group)
    with pytest.raises(account.personalize.exceptions.LimitExceededException):
        account.personalize.create_event_tracker(name="two", datasetGroupArn=group)
    with pytest.raises(account.personalize.exceptions.ResourceAlreadyExistsException):
        account.personalize.create_event_tracker(name="one", datasetGroupArn=group)


def test_tags_are_kept_replaced_and_taken_away(account: Account) -> None:
    group = account.group(tags=[{"tagKey": "team", "tagValue": "mail"}])
    sdk = account.personalize
    sdk.tag_resource(resourceArn=group, tags=[{"tagKey": "team", "tagValue": "web"}, {"tagKey": "x", "tagValue": "1"}])
    sdk.untag_resource(resourceArn=group, tagKeys=["x"])
    assert sdk.list_tags_for_resource(resourceArn=group)["tags"] == [{"tagKey": "team", "tagValue": "web"}]


def test_the_state_survives_a_restart_with_what_was_going_on(tmp_path: Path) -> None:
    with opened_account(tmp_path) as account:
        group = account.shop()
        campaign = account.campaign(account.version(group, "aws-user-personalization"))
        listed = account.ids(campaign, userId="cook1")
        account.personalize.create_filter(name="cheap", datasetGroupArn=group, filterExpression=_CHEAP)

    with opened_account(tmp_path, clock=account.clock) as again:
        assert again.ids(campaign, userId="cook1") == listed
        assert again.personalize.list_filters()["Filters"][0]["status"] == "CREATE PENDING"
        again.wait()
        assert again.personalize.list_filters()["Filters"][0]["status"] == "ACTIVE"


_CHEAP = "INCLUDE ItemID WHERE Items.PRICE < 5"


def test_a_state_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    opened = partial(opened_account, tmp_path)
    with opened(), pytest.raises(LocalPersonalizeError, match="in use by another"), opened():
        pass


def test_a_file_that_is_no_state_stops_the_start_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "resources.sqlite3").write_text("no database, but long enough to be read as one" * 20)
    with pytest.raises(LocalPersonalizeError, match="is no state of a local Personalize"), opened_account(tmp_path):
        pass
