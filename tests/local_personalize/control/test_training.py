"""Trainings: what they need, what they try, and that they find tastes that were planted."""

from collections.abc import Mapping
from typing import Any

import pytest

from service.local_personalize.training.search import Range, search
from tests.support.personalize_account import KINDS, Account

pytestmark = pytest.mark.long


def _version(account: Account, arn: str) -> dict[str, object]:
    version: dict[str, object] = account.personalize.describe_solution_version(solutionVersionArn=arn)[
        "solutionVersion"
    ]
    return version


def test_every_user_gets_the_kind_that_was_planted_for_them(account: Account) -> None:
    campaign = account.campaign(account.version(account.shop(), "aws-user-personalization"))
    right = dict.fromkeys(KINDS, 0)
    for person in range(30):
        kind = KINDS[person % 3]
        found = account.ids(campaign, userId=f"{kind}{person}", numResults=10)
        right[kind] += sum(item.startswith(kind) for item in found)
    assert all(count >= 90 for count in right.values()), right


def test_metrics_of_a_personal_model_are_above_those_of_popularity(account: Account) -> None:
    group = account.shop(people=300)
    personal, popular = (
        account.personalize.get_solution_metrics(solutionVersionArn=account.version(group, recipe))["metrics"]
        for recipe in ("aws-user-personalization", "aws-popularity-count")
    )
    for metric in ("coverage", "mean_reciprocal_rank_at_25", "normalized_discounted_cumulative_gain_at_10"):
        assert 0 < popular[metric] < personal[metric] <= 1


def test_too_few_events_of_the_asked_type_fail_the_version(account: Account) -> None:
    version = _version(account, account.version(account.shop(), "aws-user-personalization", eventType="Purchase"))
    assert version["status"] == "CREATE FAILED"
    assert str(version["failureReason"]).startswith("Dataset has fewer than 1000 interactions after filtering by event")


def test_hpo_tries_as_many_as_asked_and_keeps_what_is_best() -> None:
    tried: list[Mapping[str, str]] = []

    def worth(hyperparameters: Mapping[str, str]) -> float:
        tried.append(hyperparameters)
        return -abs(int(hyperparameters["hidden_dimension"]) - 200)

    best = search(
        [Range("hidden_dimension", 32, 256, is_whole=True)], {"hidden_dimension": "149"}, jobs=12, worth=worth
    )

    assert len(tried) == 12
    assert best == min(tried, key=lambda one: abs(int(one["hidden_dimension"]) - 200))


def test_hpo_shows_what_it_chose_and_takes_longer(account: Account) -> None:
    ranges = {
        "integerHyperParameterRanges": [{"name": "bptt", "minValue": 2, "maxValue": 32}],
        "continuousHyperParameterRanges": [],
        "categoricalHyperParameterRanges": [{"name": "recency_mask", "values": ["True", "False"]}],
    }
    resources = {"maxNumberOfTrainingJobs": "4", "maxParallelTrainingJobs": "2"}
    config = {"hpoConfig": {"hpoResourceConfig": resources, "algorithmHyperParameterRanges": ranges}}
    arn = account.version(account.shop(), "aws-user-personalization", performHPO=True, solutionConfig=config)

    version = _version(account, arn)

    assert version["status"] == "ACTIVE"
    tuned = version["tunedHPOParams"]["algorithmHyperParameters"]  # type: ignore[index]  # JSON
    assert 2 <= int(tuned["bptt"]) <= 32
    assert tuned["recency_mask"] in ("True", "False")
    assert version["trainingHours"] == pytest.approx(2 * 40 / 60)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"solutionConfig": {"algorithmHyperParameters": {"speed": "1"}}}, "no hyperparameter speed"),
        ({"solutionConfig": {"algorithmHyperParameters": {"bptt": "64"}}}, "bptt must lie between 2 and 32"),
        ({"solutionConfig": {"hpoConfig": {}}}, "hpoConfig needs performHPO"),
        (
            {"performHPO": True, "solutionConfig": {"hpoConfig": {"algorithmHyperParameterRanges": {}}}},
            "lacks integerHyperParameterRanges",
        ),
        ({"performAutoML": True}, "does not carry out performAutoML"),
        (
            {"solutionConfig": {"eventsConfig": {"eventParametersList": []}}},
            "eventsConfig is not supported by aws-user-p",
        ),
        ({"solutionConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(31 days)"}}}, "30 days"),
    ],
)
def test_a_solution_that_amazon_would_refuse_is_refused(account: Account, more: dict[str, Any], reason: str) -> None:
    group = account.group()
    with pytest.raises(account.personalize.exceptions.InvalidInputException, match=reason):
        account.version(group, "aws-user-personalization", **more)


def test_weights_of_events_change_what_is_learned(account: Account) -> None:
    group = account.shop(people=600)
    weights = [{"eventType": "Purchase", "weight": 1.0}]
    arn = account.version(
        group,
        "aws-user-personalization-v2",
        solutionConfig={"eventsConfig": {"eventParametersList": weights}},
    )
    assert _version(account, arn)["status"] == "ACTIVE"
    campaign = account.campaign(arn)
    tracker = account.personalize.create_event_tracker(name="tracker", datasetGroupArn=group)["trackingId"]
    account.wait()

    def put(event_type: str) -> None:
        account.events.put_events(
            trackingId=tracker,
            sessionId="s",
            userId="stranger",
            eventList=[{"eventType": event_type, "itemId": "code-1", "sentAt": 1_800_000_000}],
        )

    unknown = account.ids(campaign, userId="stranger")
    put("View")
    assert account.ids(campaign, userId="stranger") == unknown
    put("Purchase")
    assert account.ids(campaign, userId="stranger") != unknown


def test_a_second_event_of_an_id_changes_neither_lists_nor_trainings(account: Account) -> None:
    group = account.shop()
    campaign = account.campaign(account.version(group, "aws-user-personalization"))
    tracker = account.personalize.create_event_tracker(name="tracker", datasetGroupArn=group)["trackingId"]
    account.wait()

    def put(item: str) -> None:
        event = {"eventType": "View", "eventId": "order-1", "itemId": item, "sentAt": 1_800_000_000}
        account.events.put_events(trackingId=tracker, sessionId="s", userId="stranger", eventList=[event])

    put("code-1")
    once = account.ids(campaign, userId="stranger")
    put("cook-1")
    assert account.ids(campaign, userId="stranger") == once
    # The next training reads what was kept.
    again = account.campaign(account.version(group, "aws-user-personalization", name="second"), "second")
    assert account.ids(again, userId="stranger") == once


def test_training_that_is_stopped_ends_in_stopped(account: Account) -> None:
    sdk = account.personalize
    solution = account.version(account.shop(), "aws-popularity-count").rpartition("/")[0]
    arn = sdk.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    account.wait(10)
    sdk.stop_solution_version_creation(solutionVersionArn=arn)
    assert _version(account, arn)["status"] == "CREATE STOPPING"
    account.wait()
    assert _version(account, arn)["status"] == "CREATE STOPPED"


def test_a_solution_that_did_not_say_no_trains_itself_every_seven_days(account: Account) -> None:
    group = account.shop()
    sdk = account.personalize
    solution = sdk.create_solution(
        name="auto", datasetGroupArn=group, recipeArn="arn:aws:personalize:::recipe/aws-popularity-count"
    )["solutionArn"]

    def versions() -> list[str]:
        listed = sdk.list_solution_versions(solutionArn=solution)["solutionVersions"]
        return [one["trainingType"] for one in listed]

    account.wait(1)
    assert versions() == []
    account.wait(60)
    assert versions() == ["AUTOMATIC"]
    account.wait(7 * 24 * 60)
    assert versions() == ["AUTOMATIC", "AUTOMATIC"]
    sdk.update_solution(solutionArn=solution, performAutoTraining=False)
    account.wait(30 * 24 * 60)
    assert len(versions()) == 2
