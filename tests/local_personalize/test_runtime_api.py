import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError, HTTPClientError

from service.local_personalize.app import create_app
from service.local_personalize.arns import CAMPAIGN_ARN, RECOMMENDER_ARN
from service.local_personalize.learn import CoVisitationModel
from service.local_personalize.runtime.protocol import MAX_INPUT_ITEMS

Start = Callable[..., Any]
"""Of the fixture `start`; it gives a `LocalPersonalize`."""

SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20240101/us-east-1/personalize/aws4_request, "
    "SignedHeaders=host, Signature=00"
}
VALID = {"campaignArn": CAMPAIGN_ARN, "userId": "camper0"}


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def item_ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["itemId"] for item in items]


def error_of(call: Callable[[], object]) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Message"],
    )


def test_a_user_gets_their_own_list_with_scores(start: Start) -> None:
    answer = start().recommend(userId="camper0", numResults=3)

    assert answer["itemList"][0]["itemId"] == "tent"
    assert len(answer["itemList"]) == 3
    assert all(0 < item["score"] < 1 for item in answer["itemList"])


async def test_the_asynchronous_sdk_client_is_answered_too(start: Start) -> None:
    running = start()
    async with get_session().create_client(
        "personalize-runtime",
        endpoint_url=running.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=AioConfig(retries={"total_max_attempts": 1}),
    ) as client:
        answer = await client.get_recommendations(recommenderArn=RECOMMENDER_ARN, userId="cook1")

    assert answer["itemList"][0]["itemId"] == "pan"
    assert answer["ResponseMetadata"]["RequestId"]


def test_an_item_gets_similar_ones_without_scores_even_with_a_user(start: Start) -> None:
    running = start()
    answer = running.recommend(itemId="tent", userId="cook1", numResults=4)

    assert set(item_ids(answer["itemList"])) == {"stove", "lamp", "rope", "mug"}
    assert all("score" not in item for item in answer["itemList"])


def test_an_unknown_user_gets_popular_items_and_no_error(start: Start) -> None:
    assert item_ids(start().recommend(userId="stranger 🎁", numResults=1)["itemList"]) == ["mug"]


def test_a_ranking_returns_every_item_with_a_score(start: Start) -> None:
    answer = start().sdk.get_personalized_ranking(
        campaignArn=CAMPAIGN_ARN, userId="camper0", inputList=["pot", "unheard", "tent"]
    )

    assert item_ids(answer["personalizedRanking"]) == ["tent", "pot", "unheard"]
    assert sum(item["score"] for item in answer["personalizedRanking"]) == pytest.approx(1)
    assert answer["recommendationId"].startswith("RID-")


def test_every_answer_has_a_recommendation_id_of_its_own(start: Start) -> None:
    running = start()
    found = {running.recommend(userId="camper0")["recommendationId"] for _ in range(20)}

    assert len(found) == 20
    assert all(recommendation_id.startswith("RID-") for recommendation_id in found)


def test_an_id_of_256_characters_and_500_results_are_accepted(start: Start) -> None:
    assert len(start().recommend(userId="é" * 256, numResults=500)["itemList"]) == 10


def test_further_arns_exist_when_asked_for(start: Start) -> None:
    other = "arn:aws:personalize:eu-west-1:111111111111:campaign/shop"

    answer = start(campaign_arns=[other]).sdk.get_recommendations(campaignArn=other, userId="camper0")
    assert answer["itemList"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"campaignArn": CAMPAIGN_ARN, "userId": "u" * 257}, "userId is longer than 256 characters"),
        ({"campaignArn": CAMPAIGN_ARN, "itemId": "i" * 257}, "itemId is longer than 256 characters"),
        ({"campaignArn": CAMPAIGN_ARN, "userId": "u", "numResults": 501}, "numResults is not a whole"),
        ({"campaignArn": CAMPAIGN_ARN, "userId": "u", "numResults": 0}, "numResults is not a whole"),
        ({"campaignArn": CAMPAIGN_ARN}, "One of userId and itemId is required"),
        ({"campaignArn": CAMPAIGN_ARN, "userId": ""}, "One of userId and itemId is required"),
        ({"userId": "u"}, "Exactly one of campaignArn and recommenderArn"),
        (
            {"campaignArn": CAMPAIGN_ARN, "recommenderArn": RECOMMENDER_ARN, "userId": "u"},
            "Exactly one of campaignArn and recommenderArn",
        ),
        ({"campaignArn": "local", "userId": "u"}, "campaignArn is not an ARN"),
        ({**VALID, "filterArn": "mine"}, "filterArn is not an ARN"),
    ],
)
def test_invalid_input_is_refused(start: Start, arguments: dict[str, Any], message: str) -> None:
    code, status, text = error_of(lambda: start().sdk.get_recommendations(**arguments))

    assert (code, status) == ("InvalidInputException", 400)
    assert message in text


@pytest.mark.parametrize(
    "arguments",
    [
        {"campaignArn": CAMPAIGN_ARN + "x", "userId": "u"},
        {"recommenderArn": RECOMMENDER_ARN + "x", "userId": "u"},
        {"campaignArn": RECOMMENDER_ARN, "userId": "u"},
        {**VALID, "filterArn": "arn:aws:personalize:us-east-1:000000000000:filter/none"},
    ],
)
def test_a_resource_that_is_not_there_is_not_found(start: Start, arguments: dict[str, Any]) -> None:
    running = start()
    code, status, _ = error_of(lambda: running.sdk.get_recommendations(**arguments))

    assert (code, status) == ("ResourceNotFoundException", 404)
    with pytest.raises(running.sdk.exceptions.ResourceNotFoundException):
        running.sdk.get_recommendations(**arguments)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"inputList": []}, "InvalidInputException"),
        ({"inputList": ["i"] * (MAX_INPUT_ITEMS + 1)}, "InvalidInputException"),
        ({"inputList": ["i" * 257]}, "InvalidInputException"),
        ({"userId": ""}, "InvalidInputException"),
        ({"userId": "u" * 257}, "InvalidInputException"),
        ({"campaignArn": CAMPAIGN_ARN + "x"}, "ResourceNotFoundException"),
        (
            {"filterArn": "arn:aws:personalize:us-east-1:000000000000:filter/none"},
            "ResourceNotFoundException",
        ),
    ],
)
def test_an_invalid_ranking_is_refused(start: Start, arguments: dict[str, Any], code: str) -> None:
    call = {**VALID, "inputList": ["tent"], **arguments}

    assert error_of(lambda: start().sdk.get_personalized_ranking(**call))[0] == code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"userId": "\xff"}',
        b'{"userId": "\\ud800"}',
        json.dumps({**VALID, "userId": 7}).encode(),
        json.dumps({**VALID, "numResults": True}).encode(),
        json.dumps({**VALID, "numResults": "5"}).encode(),
        json.dumps({**VALID, "campaignArn": 7}).encode(),
        b'{"userId": "' + b"u" * 1_100_000 + b'"}',
    ],
)
def test_a_body_the_sdk_would_never_send_is_refused_in_the_same_shape(start: Start, body: bytes) -> None:
    response = start().http.post("/recommendations", content=body, headers=SIGNED)

    assert response.status_code == 400
    assert response.headers["x-amzn-ErrorType"] == "InvalidInputException"
    assert list(response.json()) == ["message"]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer secret",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=local/20240101/us-east-1/s3/aws4_request, Signature=00",
    ],
)
@pytest.mark.parametrize("path", ["/recommendations", "/personalize-ranking"])
def test_an_unsigned_request_is_refused(start: Start, authorization: str | None, path: str) -> None:
    running = start()
    headers = {} if authorization is None else {"Authorization": authorization}
    response = running.http.post(path, json={**VALID, "inputList": ["tent"]}, headers=headers)

    assert response.status_code == 403
    assert response.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert running.stats()["refused"] == 1


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/recommendations"), ("POST", "/"), ("POST", "/action-recommendations")]
)
def test_an_unknown_operation_is_not_found(start: Start, method: str, path: str) -> None:
    response = start().http.request(method, path, headers=SIGNED)

    assert response.status_code == 404
    assert response.headers["x-amzn-ErrorType"] == "UnknownOperationException"


def test_over_the_tps_the_sdk_sees_a_throttling_exception_until_a_token_has_gathered(start: Start) -> None:
    clock = Clock()
    running = start(tps=2, clock=clock)
    for _ in range(2):
        running.recommend(userId="camper0")

    assert error_of(lambda: running.recommend(userId="camper0"))[:2] == ("ThrottlingException", 400)
    clock.now += 0.5
    assert running.recommend(userId="camper0")["itemList"]
    assert error_of(lambda: running.recommend(userId="camper0"))[0] == "ThrottlingException"


def test_a_refused_call_takes_nothing_from_the_tps(start: Start) -> None:
    running = start(tps=1, clock=Clock())
    error_of(lambda: running.recommend(userId="u", numResults=501))

    assert running.recommend(userId="camper0")["itemList"]


def test_the_counts_tell_accepted_throttled_and_refused_apart(start: Start) -> None:
    wall_clock = Clock()
    running = start(tps=3, clock=Clock(), wall_clock=wall_clock)
    for user in ("ann", "bob", "ann", "cy"):
        wall_clock.now += 1
        if user == "cy":
            error_of(lambda: running.recommend(userId="cy"))
        else:
            running.recommend(userId=user)
    error_of(lambda: running.recommend(userId="u", numResults=501))

    stats = running.stats()
    # By the second; the SDK signs each with the time at which it leaves.
    assert sum(stats.pop("signed").values()) == 4
    assert stats == {
        "transactions": 3,
        "throttled": 1,
        "refused": 1,
        "by_user": {"ann": 2, "bob": 1},
        "arrivals": [51.0, 52.0, 53.0, 54.0],
        "arrivals_without_user": [],
    }
    running.http.post("/_stats/reset")
    assert running.stats() == {
        "transactions": 0,
        "throttled": 0,
        "refused": 0,
        "by_user": {},
        "arrivals": [],
        "arrivals_without_user": [],
        "signed": {},
    }


async def test_calls_that_take_long_do_not_wait_for_one_another(model: CoVisitationModel) -> None:
    app = create_app(model, tps=0, latency_ms=600_000)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local") as client:
        calls = [asyncio.create_task(client.post("/recommendations", json=VALID, headers=SIGNED)) for _ in range(12)]
        while (await client.get("/_stats")).json()["transactions"] < 12:  # noqa: ASYNC110  # the app has no event
            await asyncio.sleep(0)

        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


def test_a_call_that_takes_long_is_answered_in_the_end(start: Start) -> None:
    assert start(latency_ms=20).recommend(userId="camper0")["itemList"]


def test_the_health_check_answers_unsigned(start: Start) -> None:
    assert start().http.get("/_health").json() == {"status": "ok"}


def test_an_internal_failure_reaches_the_sdk_by_its_code(start: Start) -> None:
    running = start()
    running.fail("error500")

    assert error_of(lambda: running.recommend(userId="u"))[:2] == ("InternalFailure", 500)
    assert running.stats()["transactions"] == 1


def test_a_throttling_fault_refuses_every_call_and_counts_no_transaction(start: Start) -> None:
    running = start()
    running.fail("throttle")

    assert error_of(lambda: running.recommend(userId="u"))[0] == "ThrottlingException"
    assert running.stats()["throttled"] == 1
    assert running.stats()["transactions"] == 0


def test_the_sdk_takes_garbage_for_an_answer_without_a_list(start: Start) -> None:
    running = start()
    running.fail("garbage")

    answer = running.recommend(userId="camper0")

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "itemList" not in answer


def test_an_empty_list_is_a_good_answer_without_items(start: Start) -> None:
    running = start()
    running.fail("empty")

    assert running.recommend(userId="camper0")["itemList"] == []


def test_a_reset_connection_is_an_http_client_error(start: Start) -> None:
    running = start()
    running.fail("reset")

    with pytest.raises(HTTPClientError):
        running.recommend(userId="u")


def test_a_reset_is_an_rst_and_not_an_orderly_end(start: Start) -> None:
    running = start()
    running.fail("reset")
    body = json.dumps(VALID).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in SIGNED.items())
    port = int(running.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            f"POST /recommendations HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_hanging_call_is_not_answered_and_others_are_once_it_is_over(start: Start) -> None:
    running = start()
    running.fail("hang")

    with pytest.raises(httpx.ReadTimeout):
        running.http.post("/recommendations", json=VALID, headers=SIGNED, timeout=0.2)
    running.fail("none")
    assert running.recommend(userId="camper0")["itemList"]


def test_a_fault_ends_by_itself_after_its_seconds(start: Start) -> None:
    clock = Clock()
    running = start(clock=clock)
    running.fail("error500", seconds=5)
    clock.now += 4.9
    error_of(lambda: running.recommend(userId="u"))
    clock.now += 0.2

    assert running.recommend(userId="camper0")["itemList"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"mode": "rain"}', b'{"mode": "hang", "seconds": 0}', b'{"mode": []}']
)
def test_a_fault_that_does_not_exist_is_refused(start: Start, body: bytes) -> None:
    assert start().http.post("/_faults", content=body).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:9100"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:9100"}, 200),
        ({"Host": "192.0.2.7"}, 200),
        ({"Host": "local-personalize:9100"}, 200),
        ({"Host": "personalize.shop.example:9100"}, 200),
        ({"Origin": "http://127.0.0.1:3000"}, 200),
    ],
)
def test_a_page_of_a_stranger_gets_no_answer(start: Start, headers: dict[str, str], status: int) -> None:
    """Nothing here asks for a key, and a batch job writes files: neither another site nor a name that leads here."""
    http = start(hosts={"personalize.shop.example"}).http
    for answer in (http.post("/_faults", json={"mode": "none"}, headers=headers), http.get("/_stats", headers=headers)):
        assert answer.status_code == status
