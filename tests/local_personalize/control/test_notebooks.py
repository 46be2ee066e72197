"""The sequences of calls in AWS's own notebooks, from data to recommendations, rewritten.

They are those of aws-samples/amazon-personalize-samples (user personalization, related items, ranking, filters, batch)
and aws-samples/retail-demo-store: each resource is made, then described until it is ACTIVE.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.local_personalize.control.quotas import DEFAULTS
from tests.support.personalize_account import INTERACTIONS, ITEMS, ROLE, USERS, Account, opened_account, write_shop

pytestmark = pytest.mark.long

RECIPE = "arn:aws:personalize:::recipe/"


def until_active(account: Account, describe: Callable[[], dict[str, Any]]) -> None:
    """The notebooks' loop of `describe` and `sleep(60)`, for at most three hours."""
    seen = []
    for _ in range(180):
        status = describe()["status"]
        if status not in seen:
            seen.append(status)
        if status in ("ACTIVE", "CREATE FAILED"):
            break
        account.wait(1)
    assert seen[-1] == "ACTIVE", seen
    assert seen[0] == "CREATE PENDING"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One for all notebooks, as a reader of them has."""
    with opened_account(tmp_path_factory.mktemp("notebooks"), quotas=DEFAULTS | {"campaigns": 20}) as opened:
        yield opened


@pytest.fixture(scope="module")
def group(account: Account) -> str:
    """The first notebook: schemas, group, datasets, import jobs."""
    sdk = account.personalize
    files = write_shop(account.folder, people=150)
    schemas = {
        "Interactions": sdk.create_schema(name="interactions-schema", schema=json.dumps(INTERACTIONS))["schemaArn"],
        "Items": sdk.create_schema(name="items-schema", schema=json.dumps(ITEMS))["schemaArn"],
        "Users": sdk.create_schema(name="users-schema", schema=json.dumps(USERS))["schemaArn"],
    }
    made = sdk.create_dataset_group(name="personalize-poc")
    group: str = made["datasetGroupArn"]
    until_active(account, lambda: sdk.describe_dataset_group(datasetGroupArn=group)["datasetGroup"])
    for kind, schema in schemas.items():
        dataset = sdk.create_dataset(name=f"poc-{kind}", datasetType=kind, datasetGroupArn=group, schemaArn=schema)[
            "datasetArn"
        ]
        until_active(account, lambda arn=dataset: sdk.describe_dataset(datasetArn=arn)["dataset"])  # type: ignore[misc]  # a lambda's default has no type
        job = sdk.create_dataset_import_job(
            jobName=f"poc-{kind}-import",
            datasetArn=dataset,
            dataSource={"dataLocation": f"file://{files[kind]}"},
            roleArn=ROLE,
        )["datasetImportJobArn"]
        until_active(
            account,
            lambda arn=job: sdk.describe_dataset_import_job(datasetImportJobArn=arn)["datasetImportJob"],  # type: ignore[misc]  # a lambda's default has no type
        )
    return group


@pytest.fixture(scope="module")
def tracking_id(account: Account, group: str) -> str:
    tracker = account.personalize.create_event_tracker(name="poc-tracker", datasetGroupArn=group)
    until_active(
        account,
        lambda: account.personalize.describe_event_tracker(eventTrackerArn=tracker["eventTrackerArn"])["eventTracker"],
    )
    return str(tracker["trackingId"])


def deploy(account: Account, group: str, recipe: str) -> tuple[str, str]:
    """Solution, version, metrics, campaign, unless another notebook made them; gives version and campaign."""
    sdk = account.personalize
    if recipe in account.made:
        return account.made[recipe], account.made[f"{recipe} campaign"]
    solution_arn = sdk.create_solution(name=f"poc-{recipe}", datasetGroupArn=group, recipeArn=RECIPE + recipe)[
        "solutionArn"
    ]
    until_active(account, lambda: sdk.describe_solution(solutionArn=solution_arn)["solution"])
    version: str = sdk.create_solution_version(solutionArn=solution_arn)["solutionVersionArn"]
    until_active(account, lambda: sdk.describe_solution_version(solutionVersionArn=version)["solutionVersion"])
    metrics = sdk.get_solution_metrics(solutionVersionArn=version)["metrics"]
    assert {
        "coverage",
        "mean_reciprocal_rank_at_25",
        "normalized_discounted_cumulative_gain_at_5",
        "normalized_discounted_cumulative_gain_at_10",
        "normalized_discounted_cumulative_gain_at_25",
        "precision_at_5",
        "precision_at_10",
        "precision_at_25",
    } == set(metrics)
    campaign: str = sdk.create_campaign(name=f"poc-{recipe}", solutionVersionArn=version, minProvisionedTPS=100)[
        "campaignArn"
    ]
    until_active(account, lambda: sdk.describe_campaign(campaignArn=campaign)["campaign"])
    account.made |= {recipe: version, f"{recipe} campaign": campaign}
    return version, campaign


@pytest.mark.parametrize(
    ("recipe", "user"), [("aws-user-personalization", "camp0"), ("aws-user-personalization-v2", "camp1")]
)
def test_the_user_personalization_notebook(
    account: Account, group: str, tracking_id: str, recipe: str, user: str
) -> None:
    version, campaign = deploy(account, group, recipe)

    answer = account.runtime.get_recommendations(campaignArn=campaign, userId=user)

    assert len(answer["itemList"]) == 25
    assert all(0 < item["score"] <= 1 for item in answer["itemList"])
    assert answer["itemList"] == sorted(answer["itemList"], key=lambda item: -item["score"])
    listed = account.personalize.list_solution_versions(solutionArn=version.rpartition("/")[0])["solutionVersions"]
    assert [(one["solutionVersionArn"], one["trainingMode"], one["trainingType"]) for one in listed] == [
        (version, "FULL", "MANUAL")
    ]
    for item in ("cook-1", "cook-2", "cook-3"):
        account.events.put_events(
            trackingId=tracking_id,
            userId=user,
            sessionId="session",
            eventList=[
                {"sentAt": 1_800_000_000, "eventType": "View", "itemId": item, "properties": json.dumps({"a": 1})}
            ],
        )
    again = account.runtime.get_recommendations(campaignArn=campaign, userId=user, numResults=10)
    assert sum(item["itemId"].startswith("cook") for item in again["itemList"]) > sum(
        item["itemId"].startswith("cook") for item in answer["itemList"][:10]
    )


@pytest.mark.parametrize("recipe", ["aws-similar-items", "aws-sims", "aws-semantic-similarity"])
def test_the_related_items_notebook(account: Account, group: str, recipe: str) -> None:
    _, campaign = deploy(account, group, recipe)

    found = account.ids(campaign, itemId="code-1", numResults=10)

    assert len(found) == 10
    assert "code-1" not in found
    assert sum(item.startswith("code") for item in found) >= 8
    assert len(account.ids(campaign, itemId="unheard-of", numResults=10)) == 10


@pytest.mark.parametrize("recipe", ["aws-personalized-ranking", "aws-personalized-ranking-v2"])
def test_the_ranking_notebook(account: Account, group: str, recipe: str) -> None:
    _, campaign = deploy(account, group, recipe)
    given = ["camp-1", "new-thing", "cook-1", "code-1"]

    ranked = account.runtime.get_personalized_ranking(campaignArn=campaign, userId="code2", inputList=given)[
        "personalizedRanking"
    ]

    assert ranked[0]["itemId"] == "code-1"
    assert ranked[-1] == {"itemId": "new-thing", "score": 0.0}
    assert {item["itemId"] for item in ranked} == set(given)


@pytest.mark.parametrize("recipe", ["aws-popularity-count", "aws-trending-now"])
def test_the_popularity_notebook(account: Account, group: str, recipe: str) -> None:
    _, campaign = deploy(account, group, recipe)
    assert account.ids(campaign, userId="camp0") == account.ids(campaign, userId="cook1")


def test_the_filters_notebook(account: Account, group: str) -> None:
    _, campaign = deploy(account, group, "aws-user-personalization")

    def filtered(name: str, expression: str) -> str:
        arn: str = account.personalize.create_filter(name=name, datasetGroupArn=group, filterExpression=expression)[
            "filterArn"
        ]
        until_active(account, lambda: account.personalize.describe_filter(filterArn=arn)["filter"])
        return arn

    of_kind = filtered("of-kind", "INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)")
    unseen = filtered("unseen", 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View", "Purchase")')
    listed = account.personalize.list_filters(datasetGroupArn=group)["Filters"]
    assert [one["filterArn"] for one in listed] == [of_kind, unseen]

    found = account.ids(campaign, userId="camp0", filterArn=of_kind, filterValues={"KIND": '"cook","code"'})
    assert len(found) == 25
    assert not any(item.startswith("camp") for item in found)
    seen = {row.split(",")[1] for row in (account.folder / "interactions.csv").read_text().split() if "camp0," in row}
    assert not seen & set(account.ids(campaign, userId="camp0", filterArn=unseen))
    with pytest.raises(account.runtime.exceptions.InvalidInputException, match="KIND"):
        account.ids(campaign, userId="camp0", filterArn=of_kind)


@pytest.mark.parametrize(
    ("recipe", "line", "kind"),
    [
        ("aws-user-personalization", {"userId": "cook1"}, "cook"),
        ("aws-similar-items", {"itemId": "camp-2"}, "camp"),
        ("aws-personalized-ranking", {"userId": "code2", "itemList": ["camp-1", "code-3"]}, "code"),
    ],
)
def test_the_batch_notebook(account: Account, group: str, recipe: str, line: dict[str, object], kind: str) -> None:
    sdk = account.personalize
    version, _ = deploy(account, group, recipe)
    (account.folder / "input.json").write_text(json.dumps(line) + "\n" + '{"nothing": 1}\n', encoding="utf-8")
    job = sdk.create_batch_inference_job(
        jobName=f"poc-batch-{recipe}",
        solutionVersionArn=version,
        roleArn=ROLE,
        numResults=5,
        jobInput={"s3DataSource": {"path": f"file://{account.folder}/input.json"}},
        jobOutput={"s3DataDestination": {"path": f"file://{account.folder}/{recipe}/"}},
    )["batchInferenceJobArn"]
    until_active(account, lambda: sdk.describe_batch_inference_job(batchInferenceJobArn=job)["batchInferenceJob"])

    answers = [json.loads(one) for one in (account.folder / f"{recipe}/input.json.out").read_text().splitlines()]

    assert [one["input"] for one in answers] == [line]
    assert answers[0]["error"] is None
    assert answers[0]["output"]["recommendedItems"][0].startswith(kind)
    assert (account.folder / f"{recipe}/input.json.errors").read_text().count("\n") == 1


def test_the_segments_notebook(account: Account, group: str) -> None:
    sdk = account.personalize
    version = account.version(group, "aws-item-affinity")
    (account.folder / "items.json").write_text('{"itemId": "cook-0"}\n', encoding="utf-8")
    sdk.create_batch_segment_job(
        jobName="poc-segment",
        solutionVersionArn=version,
        roleArn=ROLE,
        numResults=10,
        jobInput={"s3DataSource": {"path": f"file://{account.folder}/items.json"}},
        jobOutput={"s3DataDestination": {"path": f"file://{account.folder}/segments/"}},
    )
    account.wait()

    [answer] = [json.loads(one) for one in (account.folder / "segments/items.json.out").read_text().splitlines()]

    users = answer["output"]["usersList"]
    assert len(users) == 10
    assert sum(user.startswith("cook") for user in users) >= 8


def test_the_domain_notebook(account: Account) -> None:
    sdk = account.personalize
    group = account.group("domain", domain="ECOMMERCE")
    files = write_shop(account.folder, people=150)
    items = account.folder / "domain.csv"
    items.write_text(files["Items"].read_text("utf-8").replace("CATEGORY", "CATEGORY_L1", 1), encoding="utf-8")
    fields = json.loads(json.dumps(ITEMS).replace('"CATEGORY"', '"CATEGORY_L1"'))
    for kind, schema, file in (("Interactions", INTERACTIONS, files["Interactions"]), ("Items", fields, items)):
        arn = account.schema(f"domain-{kind}", schema, domain="ECOMMERCE")
        dataset = sdk.create_dataset(name=kind, schemaArn=arn, datasetGroupArn=group, datasetType=kind)["datasetArn"]
        account.wait()
        assert account.load(dataset, f"file://{file}", name=kind)["status"] == "ACTIVE"
    recommender = sdk.create_recommender(
        name="for-you", datasetGroupArn=group, recipeArn=RECIPE + "aws-ecomm-recommended-for-you",
        recommenderConfig={"minRecommendationRequestsPerSecond": 50},
    )["recommenderArn"]  # fmt: skip
    until_active(account, lambda: sdk.describe_recommender(recommenderArn=recommender)["recommender"])
    assert sdk.describe_recommender(recommenderArn=recommender)["recommender"]["modelMetrics"]["coverage"] > 0

    found = account.runtime.get_recommendations(recommenderArn=recommender, userId="camp0", numResults=20)["itemList"]

    rows = files["Interactions"].read_text("utf-8").split()
    bought = {row.split(",")[1] for row in rows if row.startswith("camp0,") and row.endswith("Purchase")}
    assert bought
    assert not bought & {item["itemId"] for item in found}

    sdk.stop_recommender(recommenderArn=recommender)
    account.wait()
    assert sdk.describe_recommender(recommenderArn=recommender)["recommender"]["status"] == "INACTIVE"
    with pytest.raises(account.runtime.exceptions.ResourceNotFoundException):
        account.runtime.get_recommendations(recommenderArn=recommender, userId="camp0")
    sdk.start_recommender(recommenderArn=recommender)
    account.wait()
    account.runtime.get_recommendations(recommenderArn=recommender, userId="camp0")
