"""Campaigns: which version answers, how fast they may be asked, and what a call may ask."""

import pytest
from botocore.exceptions import ClientError

from service.local_personalize.serving.capacity import Capacity
from tests.support.personalize_account import Account, Clock


def test_while_a_campaign_is_updated_its_old_version_serves(account: Account) -> None:
    first = account.version(account.shop(), "aws-user-personalization")
    campaign = account.campaign(first)
    second = account.again(first.rpartition("/")[0])
    sdk = account.personalize
    sdk.update_campaign(campaignArn=campaign, solutionVersionArn=second, minProvisionedTPS=7)

    account.wait(5)
    described = sdk.describe_campaign(campaignArn=campaign)["campaign"]
    assert (described["status"], described["solutionVersionArn"]) == ("ACTIVE", first)
    update = described["latestCampaignUpdate"]
    assert (update["status"], update["solutionVersionArn"]) == ("UPDATE IN_PROGRESS", second)
    with pytest.raises(sdk.exceptions.ResourceInUseException):
        sdk.update_campaign(campaignArn=campaign, solutionVersionArn=first)
    assert account.ids(campaign, userId="cook1")

    account.wait(5)
    described = sdk.describe_campaign(campaignArn=campaign)["campaign"]
    assert (described["solutionVersionArn"], described["minProvisionedTPS"]) == (second, 7)
    assert described["latestCampaignUpdate"]["status"] == "ACTIVE"


def test_a_campaign_that_follows_its_solution_updates_itself(account: Account) -> None:
    first = account.version(account.shop(), "aws-user-personalization")
    solution = first.rpartition("/")[0]
    campaign = account.campaign(f"{solution}/$LATEST", campaignConfig={"syncWithLatestSolutionVersion": True})

    second = account.again(solution)
    account.wait()

    described = account.personalize.describe_campaign(campaignArn=campaign)["campaign"]
    assert described["solutionVersionArn"] == second


def test_latest_needs_the_wish_to_follow(account: Account) -> None:
    version = account.version(account.shop(), "aws-popularity-count")
    with pytest.raises(account.personalize.exceptions.InvalidInputException, match="syncWithLatestSolutionVersion"):
        account.campaign(f"{version.rpartition('/')[0]}/$LATEST")


def test_calls_beyond_the_minimum_are_throttled_until_capacity_has_followed() -> None:
    clock = Clock()
    capacity = Capacity(clock=clock, lag_seconds=120)

    def passed_in_a_second() -> int:
        passed = 0
        for _ in range(10):
            passed += capacity.try_take(2)
            clock.now += 0.1
        return passed

    early = [passed_in_a_second() for _ in range(100)]
    for _ in range(60):
        passed_in_a_second()
    late = [passed_in_a_second() for _ in range(20)]

    assert sum(early) / len(early) == pytest.approx(2, abs=0.1)
    assert sum(late) / len(late) == pytest.approx(10, abs=0.1)


def test_calls_that_amazon_would_refuse_are_refused(account: Account) -> None:
    campaign = account.campaign(account.version(account.shop(), "aws-popularity-count"))
    calls: list[tuple[dict[str, object], str]] = [
        ({}, "userId is required"),
        ({"userId": "a", "numResults": 501}, "between 1 and 500"),
        ({"userId": "a", "metadataColumns": {"ITEMS": ["PRICE"]}}, "enableMetadataWithRecommendations"),
        ({"userId": "a", "recommenderArn": "arn:aws:personalize:us-east-1:1:recommender/a"}, "Exactly one of"),
        ({"userId": "a", "filterValues": {"A-B": "x"}}, "filterValues key"),
        ({"userId": "a" * 257}, "less than or equal to 256"),
    ]
    for call, reason in calls:
        with pytest.raises(ClientError, match=reason) as raised:
            account.ids(campaign, **call)
        assert raised.value.response["Error"]["Code"] == "InvalidInputException"


def test_metadata_and_promotions_come_with_the_list(account: Account) -> None:
    group = account.shop()
    campaign = account.campaign(
        account.version(group, "aws-user-personalization"),
        campaignConfig={"enableMetadataWithRecommendations": True},
    )
    promoted = account.personalize.create_filter(
        name="sale", datasetGroupArn=group, filterExpression='INCLUDE ItemID WHERE Items.CATEGORY IN ("camp")'
    )["filterArn"]
    account.wait()

    items = account.runtime.get_recommendations(
        campaignArn=campaign,
        userId="cook1",
        numResults=10,
        metadataColumns={"ITEMS": ["CATEGORY", "PRICE"]},
        promotions=[{"name": "sale", "percentPromotedItems": 30, "filterArn": promoted}],
    )["itemList"]

    assert len(items) == len({item["itemId"] for item in items}) == 10
    assert [item["metadata"]["CATEGORY"] for item in items if item.get("promotionName") == "sale"] == ["camp"] * 3
    assert all(set(item["metadata"]) == {"CATEGORY", "PRICE"} for item in items)


def test_put_items_and_users_reach_filters_and_their_columns_are_checked(account: Account) -> None:
    group = account.shop()
    campaign = account.campaign(account.version(group, "aws-user-personalization"))
    cheap = account.personalize.create_filter(
        name="cheap", datasetGroupArn=group, filterExpression="INCLUDE ItemID WHERE Items.PRICE < 0.5"
    )["filterArn"]
    account.wait()
    assert account.ids(campaign, userId="cook1", filterArn=cheap) == []

    account.events.put_items(
        datasetArn=account.made["Items"],
        items=[{"itemId": "code-3", "properties": '{"price": 0.2, "category": "code"}'}],
    )

    assert account.ids(campaign, userId="cook1", filterArn=cheap) == ["code-3"]
    account.events.put_users(datasetArn=account.made["Users"], users=[{"userId": "new", "properties": '{"age": 4}'}])
    with pytest.raises(account.events.exceptions.InvalidInputException, match="PRICE"):
        account.events.put_items(datasetArn=account.made["Items"], items=[{"itemId": "a", "properties": "{}"}])
    with pytest.raises(account.events.exceptions.InvalidInputException, match="COLOUR"):
        account.events.put_items(
            datasetArn=account.made["Items"], items=[{"itemId": "a", "properties": '{"price": 1, "colour": "red"}'}]
        )


def test_a_campaign_that_explores_shows_new_items_at_the_share_asked_for(account: Account) -> None:
    group = account.shop()
    campaign = account.campaign(
        account.version(group, "aws-user-personalization"),
        campaignConfig={"itemExplorationConfig": {"explorationWeight": "0.2", "explorationItemAgeCutOff": "30"}},
    )
    new = [{"itemId": f"new-{place}", "properties": '{"price": 1}'} for place in range(5)]
    before = account.ids(campaign, userId="cook1", numResults=10)
    account.events.put_items(datasetArn=account.made["Items"], items=new)

    after = account.ids(campaign, userId="cook1", numResults=10)

    assert not any(item.startswith("new-") for item in before)
    assert sum(item.startswith("new-") for item in after) == 2
    assert len(after) == len(set(after)) == 10
    assert after[0] == before[0]
