"""What is asked of a DynamoDB table, and how its answers are understood; the SDK's client answers at once."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.catalog.adapters.dynamodb_table import DynamoDbTable, TableKey
from service.errors import CatalogError


class Client:
    """Gives the answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def _answer(self, **asked: Any) -> Any:  # noqa: ANN401  # the SDK's
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    describe_table = scan = batch_get_item = _answer


def table(*answers: object) -> DynamoDbTable:
    return DynamoDbTable(Client(*answers), "items", "dynamodb://items")


def described(**more: object) -> dict[str, object]:
    schema = {
        "KeySchema": [{"AttributeName": "sku"}],
        "AttributeDefinitions": [{"AttributeName": "sku", "AttributeType": "S"}],
    }
    return {"Table": {**schema, **more}}


def test_a_table_is_described_by_its_key_its_age_and_its_count() -> None:
    found = asyncio.run(table(described(ItemCount=5, CreationDateTime="then")).description())
    assert (found.key, found.items, found.version) == (TableKey("sku", "S"), 5, "then-5")
    assert asyncio.run(table(described()).description()).items == 0


@pytest.mark.parametrize(
    ("schema", "kind", "problem"),
    [
        (["sku", "shop"], "S", "has a sort key; the partition key by itself must be the item's id"),
        (["sku"], "B", "its key sku is neither text nor a number"),
    ],
)
def test_a_table_whose_key_is_no_id_is_refused(schema: list[str], kind: str, problem: str) -> None:
    answer = described(
        KeySchema=[{"AttributeName": name} for name in schema],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name in schema],
    )
    with pytest.raises(CatalogError, match=f"^dynamodb://items: {problem}$"):
        asyncio.run(table(answer).description())


async def scanned(found: DynamoDbTable, most: int | None) -> list[object]:
    return [item async for item in found.scanned(most)]


@pytest.mark.parametrize(
    ("most", "items", "limits"),
    [
        (None, [1, 2, 3, 4, 5], [None, None, None]),
        (4, [1, 2, 3, 4], [4, 2]),
        (3, [1, 2, 3, 4], [3, 1]),
        (2, [1, 2], [2]),
    ],
)
def test_a_scan_goes_on_where_the_page_before_ended_until_there_are_enough(
    most: int | None, items: list[int], limits: list[int | None]
) -> None:
    pages = [
        {"Items": [1, 2], "LastEvaluatedKey": "k2"},
        {"Items": [3, 4], "LastEvaluatedKey": "k4"},
        {"Items": [5]},
    ]
    found = table(*pages)
    assert asyncio.run(scanned(found, most)) == items
    assert [asked.get("Limit") for asked in found.client.asked] == limits
    assert [asked.get("ExclusiveStartKey") for asked in found.client.asked] == [None, "k2", "k4"][: len(limits)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"Responses": {"items": ["a"]}}, (["a"], ())),
        ({"Responses": {"items": ["a"]}, "UnprocessedKeys": {"items": {"Keys": ["k2"]}}}, (["a"], ["k2"])),
        ({}, ((), ())),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "BatchGetItem"), ((), ["k1", "k2"])),
        (
            ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "BatchGetItem"),
            ((), ["k1", "k2"]),
        ),
    ],
)
def test_a_batch_gives_what_was_found_and_what_to_ask_for_again(answer: object, expected: object) -> None:
    found = table(answer)
    assert asyncio.run(found.batch(["k1", "k2"])) == expected  # type: ignore[list-item]  # handed on
    assert found.client.asked == [{"RequestItems": {"items": {"Keys": ["k1", "k2"]}}}]


@pytest.mark.parametrize("error", [{"Code": "AccessDeniedException"}, {}])
def test_what_another_try_does_not_mend_is_raised(error: dict[str, str]) -> None:
    with pytest.raises(ClientError):
        asyncio.run(table(ClientError({"Error": error}, "BatchGetItem")).batch(["k1"]))  # type: ignore[list-item]  # as above


@pytest.mark.parametrize(
    ("kind", "item_id", "can"),
    [
        *(("S", one, True) for one in ("a", "x" * 2_048, "ü" * 1_024)),
        *(("S", one, False) for one in ("", "x" * 2_049, "ü" * 1_025, "\ud800")),
        *(("N", one, True) for one in ("0", "-5", "5.25", "0.5")),
        *(("N", one, False) for one in ("-0", "05", "5.0", "5.", "a", "", "\u0665")),
    ],
)
def test_an_id_that_cannot_be_a_key_is_not_asked_for(kind: str, item_id: str, can: bool) -> None:  # noqa: FBT001  # a table
    key = TableKey("sku", kind)
    assert key.can_hold(item_id) is can
    assert key.of(item_id) == {"sku": {kind: item_id}}
    assert key.id_in({"sku": {kind: item_id}}) == item_id
    assert key.id_in({"sku": {"B": b"x"}}) is None
    assert key.id_in({"other": {kind: item_id}}) is None
