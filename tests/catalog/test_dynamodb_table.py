"""What is asked of a DynamoDB table, and how its answers are understood; the SDK's client answers at once."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from service.aws.session import AwsSession
from service.catalog.adapters.dynamodb_catalog import DynamoDbCatalog
from service.catalog.adapters.dynamodb_source import DynamoDbSource
from service.catalog.adapters.dynamodb_table import DynamoDbTable, TableKey
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError
from tests.support import feeds


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


def row(item_id: str, **more: object) -> dict[str, object]:
    plain = {"sku": item_id, "url": "https://u/", "title": "N", "image": "https://i/"}
    return {**{name: {"S": value} for name, value in plain.items()}, "price": {"N": "5"}, **more}


class Clients:
    """Hands out one client, as `AwsClient` does."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.is_closed = False

    async def get(self) -> Client:
        return self.client

    async def close(self) -> None:
        self.is_closed = True


def source(*answers: object, exclusion: str | None = None, **mapping: str) -> DynamoDbSource:
    found = DynamoDbSource("dynamodb://items", Recipe(mapping, exclusion, Path()), cast(AwsSession, None))
    found._client = cast(Any, Clients(Client(*answers)))
    return found


def test_a_whole_table_is_read_as_a_feed_of_its_items() -> None:
    pages = {"Items": [row("a"), row("b")], "LastEvaluatedKey": "b"}, {"Items": [row("c", tags={"SS": ["y", "x"]})]}

    async def content() -> tuple[bytes, str]:
        async with source(described(ItemCount=3, CreationDateTime="then"), *pages).opened() as found:
            found.stream.seek(0)
            return found.stream.read(), found.version

    text, version = asyncio.run(content())
    assert version == "then-3"
    read = feeds.read(text, columns="id=sku")
    assert (read.ids, read.values("tags")) == (["a", "b", "c"], [None, None, "x|y"])


async def loaded(table_source: DynamoDbSource, known: tuple[str, ...] = ()) -> DynamoDbCatalog:
    try:
        return await table_source.load(4, known)
    finally:
        await table_source.close()


def test_the_first_items_of_a_table_show_its_columns_and_what_can_be_shown() -> None:
    exclusion = 'EXCLUDE ItemID WHERE Items.COLOR = "red" OR Items.NAME = "N" AND Items.SIZE = "S"'
    items = [row("a", size={"S": "S"}), row("b"), row("c", color={"S": "red"}), row("d", title={"S": ""})]
    found = source(described(ItemCount=9, CreationDateTime="then"), {"Items": items}, exclusion=exclusion)
    catalog = asyncio.run(loaded(found, ("old", "size")))
    assert list(catalog.first_ids()) == ["b"]
    assert list(catalog.columns) == ["size", "color", "old"]
    assert (catalog.version, len(catalog), catalog.is_open) == (5, 9, True)
    assert found.loaded_version == "then-9"
    assert cast(Clients, found._client).is_closed


NO_COLUMNS = (
    "dynamodb://items: no column web, name, image; it has sku, price; CATALOG_COLUMNS says which column is which;"
    " a value inside another has a path: price=prices[0].value"
)


@pytest.mark.parametrize(
    ("items", "mapping", "problem"),
    [
        ([], {}, "dynamodb://items: no usable row (it is empty, or nothing in it is a row)"),
        ([row("a", title={"S": ""})], {}, "dynamodb://items: no usable row (1 missing_name); no name: a (row 1)"),
        (
            [{"sku": {"S": "a"}, "price": {"N": "5"}}],
            {"url": "web"},
            NO_COLUMNS,
        ),
        ([row("a")], {"id": "title"}, "dynamodb://items: id is mapped to title, but its partition key is sku"),
    ],
)
def test_a_table_of_which_nothing_can_be_shown_is_one_line(
    items: list[object], mapping: dict[str, str], problem: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        asyncio.run(loaded(source(described(), {"Items": items}, **mapping)))
    assert caught.value.problems == (problem,) or list(caught.value.problems) == [problem]


def test_a_table_is_asked_once_by_the_sdk_and_shows_so_many_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not answered is asked for again within the request's own time."""
    made: list[AioConfig] = []
    client = Client(described(), {"Items": [row("a", **{f"c{number}": {"S": "x"} for number in range(9)})]})

    def recorded(aws: object, service: str, config: AioConfig) -> Clients:
        del aws, service
        made.append(config)
        return Clients(client)

    monkeypatch.setattr("service.catalog.adapters.dynamodb_source.AwsClient", recorded)
    monkeypatch.setattr("service.catalog.adapters.dynamodb_source.MAX_COLUMNS", 7)
    found = DynamoDbSource("dynamodb://items", Recipe({}, None, Path()), cast(AwsSession, None))
    assert made[0].retries == {"total_max_attempts": 1, "mode": "standard"}
    catalog = asyncio.run(found.load(1))
    assert list(catalog._names) == ["sku", "url", "title", "image", "price", "c0", "c1"]


@pytest.mark.parametrize(
    "url", ["dynamodb://", "dynamodb:items", "dynamodb://items/x", "dynamodb://items?x", "dynamodb://items#x"]
)
def test_the_address_of_a_table_is_its_name(url: str) -> None:
    with pytest.raises(CatalogError, match="must be dynamodb://table"):
        DynamoDbSource(url, Recipe({}, None, Path()), cast(AwsSession, None))
    with pytest.raises(CatalogError, match=r"^CATALOG_URL dynamodb://\[x: Invalid IPv6 URL$"):
        DynamoDbSource("dynamodb://[x", Recipe({}, None, Path()), cast(AwsSession, None))
    assert DynamoDbSource("dynamodb://items/", Recipe({}, None, Path()), cast(AwsSession, None))._name == "items"


def test_a_source_that_is_closed_fetches_nothing_any_more() -> None:
    async def run() -> None:
        found = source()
        batch = asyncio.create_task(asyncio.sleep(60))
        found._batches.add(batch)
        await asyncio.sleep(0)
        await found.close()
        assert batch.cancelled()

    asyncio.run(run())
