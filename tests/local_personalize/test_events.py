"""PutEvents: taken as Amazon takes it, and felt by lists and filters."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from service.local_personalize.app import create_app
from service.local_personalize.arns import TRACKING_ID
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from tests.support.local_personalize import LocalPersonalize, serving

FILTER = 'unbought=EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")'
FILTER_ARN = "arn:aws:personalize:us-east-1:000000000000:filter/unbought"


@pytest.fixture
def running(shop: Path) -> Iterator[LocalPersonalize]:
    # A model of its own: events stay in it.
    with serving(create_app(learn(read_dataset(shop)), tps=0, latency_ms=0, filters=[FILTER])) as local:
        yield local


def events_client(local: LocalPersonalize) -> Any:  # noqa: ANN401  # botocore makes the class at run time
    return boto3.client(
        "personalize-events",
        endpoint_url=local.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )


def putter(local: LocalPersonalize) -> Callable[..., Any]:
    client = events_client(local)

    def put(*events: dict[str, Any], **call: Any) -> Any:  # noqa: ANN401  # boto3's own
        listed = [{"eventType": "View", "sentAt": 1_800_000_000, **event} for event in events]
        return client.put_events(
            **{"trackingId": TRACKING_ID, "sessionId": "s1", "userId": "nobody yet", "eventList": listed, **call}
        )

    return put


def test_an_event_changes_the_next_list_of_its_user_only(running: LocalPersonalize) -> None:
    popular = running.recommend(userId="nobody yet", numResults=9)["itemList"]
    putter(running)({"itemId": "pan"}, {"itemId": "ladle"})
    theirs = running.recommend(userId="nobody yet", numResults=3)["itemList"]
    assert {item["itemId"] for item in theirs} == {"mug", "pot", "whisk"}
    assert {item["itemId"] for item in popular[:3]} != {"mug", "pot", "whisk"}
    assert running.recommend(userId="another", numResults=9)["itemList"] == popular


def test_a_filter_sees_the_event(running: LocalPersonalize) -> None:
    putter(running)({"itemId": "pot", "eventType": "Purchase"}, userId="camper0")
    shown = running.recommend(userId="camper0", numResults=20, filterArn=FILTER_ARN)["itemList"]
    assert "pot" not in {item["itemId"] for item in shown}
    assert len(shown) == 9


def test_a_user_who_is_not_known_is_asked_for_by_the_session(running: LocalPersonalize) -> None:
    client = events_client(running)
    client.put_events(
        trackingId=TRACKING_ID,
        sessionId="s1",
        eventList=[{"eventType": "View", "sentAt": 1_800_000_000, "itemId": item} for item in ("pan", "ladle")],
    )
    assert running.http.get("/_events").json()[0]["userId"] == "s1"
    shown = running.recommend(userId="s1", numResults=3)["itemList"]
    assert {item["itemId"] for item in shown} == {"mug", "pot", "whisk"}


def test_an_event_of_an_id_that_came_before_is_shown_and_not_used(running: LocalPersonalize) -> None:
    put = putter(running)
    put({"itemId": "pan", "eventId": "e1"}, {"itemId": "pot", "eventId": "e2"})
    before = running.recommend(userId="nobody yet", numResults=9)["itemList"]
    put({"itemId": "ladle", "eventId": "e1"})

    def ids(path: str) -> list[str]:
        return [event["eventId"] for event in running.http.get(path).json()]

    assert ids("/_events") == ["e1", "e2", "e1"]
    assert ids("/_events/used") == ["e1", "e2"]
    assert running.recommend(userId="nobody yet", numResults=9)["itemList"] == before


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"trackingId": "another"}, "event tracker"),
        ({"sessionId": "s" * 257}, "sessionId"),
        ({"eventList": [{"eventType": "View", "sentAt": 1}] * 11}, "1 to 10"),
        ({"eventList": [{"eventType": "View", "sentAt": 1, "properties": "[]"}]}, "properties"),
        ({"eventList": [{"eventType": "View", "sentAt": 1, "properties": '{"a":"' + "x" * 1024 + '"}'}]}, "properties"),
        ({"eventList": [{"eventType": "View", "sentAt": 1, "impression": ["i"] * 26}]}, "impression"),
        ({"eventList": [{"eventType": "View", "sentAt": 1, "recommendationId": "r" * 41}]}, "recommendationId"),
    ],
)
def test_what_personalize_refuses_is_refused_whole(running: LocalPersonalize, call: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        putter(running)({"itemId": "pan"}, **call)
    assert caught.value.response["Error"]["Code"] == "InvalidInputException"
    assert running.http.get("/_events").json() == []


def test_events_fail_apart_from_recommendations(running: LocalPersonalize) -> None:
    running.fail("throttle", of="events")
    with pytest.raises(ClientError, match="ThrottlingException"):
        putter(running)({"itemId": "pan"})
    assert running.recommend(userId="camper0")["itemList"]
