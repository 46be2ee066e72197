"""PutItems, PutUsers and the calls on actions: taken as Amazon takes them, and felt by lists and filters."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from service.local_personalize.app import create_app
from service.local_personalize.arns import DATASET_ARN, TRACKING_ID
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from service.local_personalize.puts import DatasetPuts
from tests.support.local_personalize import LocalPersonalize, serving

FILTERS = [
    "cheap=INCLUDE ItemID WHERE Items.PRICE < 4",
    "young=EXCLUDE ItemID WHERE Items.PRICE > 0 IF CurrentUser.AGE > 40",
]
FILTER_ARN = "arn:aws:personalize:us-east-1:000000000000:filter/"


@pytest.fixture
def running(shop: Path) -> Iterator[LocalPersonalize]:
    with serving(create_app(learn(read_dataset(shop)), tps=0, latency_ms=0, filters=FILTERS)) as local:
        yield local


@pytest.fixture
def events(running: LocalPersonalize) -> Iterator[Any]:
    client = boto3.client(
        "personalize-events",
        endpoint_url=running.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def put(events: Any, item_id: str, **properties: object) -> None:  # noqa: ANN401  # botocore makes the class
    events.put_items(
        datasetArn=DATASET_ARN + "ITEMS", items=[{"itemId": item_id, "properties": json.dumps(properties)}]
    )


def shown(local: LocalPersonalize, user: str, **more: object) -> list[str]:
    return [item["itemId"] for item in local.recommend(userId=user, numResults=12, **more)["itemList"]]


def test_a_new_item_goes_to_those_who_like_what_is_like_it(running: LocalPersonalize, events: Any) -> None:  # noqa: ANN401
    assert "ladder" not in shown(running, "cook0") + shown(running, "camper0")
    # The price of the ladle and the whisk, which only cooks have seen.
    put(events, "ladder", price=5)
    assert shown(running, "cook0").index("ladder") < shown(running, "camper0").index("ladder")
    assert "ladder" in shown(running, "nobody yet")


def test_filters_see_what_was_put(running: LocalPersonalize, events: Any) -> None:  # noqa: ANN401
    cheap = {"filterArn": FILTER_ARN + "cheap"}
    assert "tent" not in shown(running, "cook0", **cheap)
    put(events, "tent", price=1)
    put(events, "new", price=2)
    assert {"tent", "new"} <= set(shown(running, "cook0", **cheap))
    young = {"filterArn": FILTER_ARN + "young"}
    assert shown(running, "cook1", **young) != []
    events.put_users(
        datasetArn=DATASET_ARN + "USERS", users=[{"userId": "cook1", "properties": json.dumps({"age": 50})}]
    )
    assert shown(running, "cook1", **young) == []


def test_actions_and_what_was_done_with_them_are_taken(running: LocalPersonalize, events: Any) -> None:  # noqa: ANN401
    events.put_actions(datasetArn=DATASET_ARN + "ACTIONS", actions=[{"actionId": "join-club"}])
    taken = {
        "actionId": "join-club",
        "userId": "cook0",
        "sessionId": "s",
        "timestamp": 1_800_000_000,
        "eventType": "TAKEN",
    }
    events.put_action_interactions(trackingId=TRACKING_ID, actionInteractions=[taken])
    puts = running.http.get("/_puts").json()
    assert puts["PutActions"][0]["actions"] == [{"actionId": "join-club"}]
    assert puts["PutActionInteractions"][0]["actionInteractions"][0]["eventType"] == "TAKEN"


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ({"items": [{"itemId": "a"}] * 11}, "InvalidInputException", "11 members"),
        ({"items": [{"itemId": "i" * 257}]}, "InvalidInputException", "257 characters"),
        ({"items": [{"itemId": "a", "properties": "[]"}]}, "InvalidInputException", "properties"),
        ({"items": [{"itemId": "a", "properties": '{"colour":"red"}'}]}, "InvalidInputException", "COLOUR"),
        ({"items": [{"itemId": "a", "properties": '{"a":"' + "x" * 32_000 + '"}'}]}, "InvalidInputException", "32000"),
        ({"datasetArn": DATASET_ARN + "ITEMS2"}, "ResourceNotFoundException", "ITEMS dataset"),
        ({"datasetArn": "no arn"}, "InvalidInputException", "does not match"),
    ],
)
def test_what_personalize_refuses_is_refused_whole(
    running: LocalPersonalize,
    events: Any,  # noqa: ANN401  # botocore makes the class
    call: dict[str, Any],
    code: str,
    said: str,
) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        events.put_items(**{"datasetArn": DATASET_ARN + "ITEMS", "items": [{"itemId": "a"}], **call})
    assert caught.value.response["Error"]["Code"] == code
    assert running.http.get("/_puts").json()["PutItems"] == []


def test_ten_calls_a_second_are_admitted_each_operation_by_itself(shop: Path) -> None:
    puts = DatasetPuts(learn(read_dataset(shop)), clock=lambda: 0.0)
    assert [puts.try_take("/items") for _ in range(12)] == [True] * 10 + [False] * 2
    assert puts.try_take("/users")
