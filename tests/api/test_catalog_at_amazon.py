"""The catalogue in S3 or DynamoDB, while Amazon refuses."""

import asyncio
import gzip
import operator
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from structlog.testing import capture_logs
from werkzeug.wrappers import Response

from service.catalog import curated
from service.catalog.adapters import dynamodb_catalog, dynamodb_source, s3
from service.errors import ConfigurationError
from tests.support.amazon import DENIED, THROTTLED, Amazon
from tests.support.front_door import ITEMS, Door, OpenDoor
from tests.support.waiting import PATIENCE_SECONDS, until

PATH = "/recommendations"
S3 = "s3://shop/items.csv"
DEADLINE_SECONDS = 0.5
SAMPLE_ITEMS = 100


@pytest.fixture
def upload(amazon: Amazon, catalog_file: Path) -> Iterator[Callable[[bytes], None]]:
    client = amazon.client("s3")
    client.create_bucket(Bucket="shop")

    def put(content: bytes) -> None:
        client.put_object(Bucket="shop", Key="items.csv", Body=content)

    put(catalog_file.read_bytes())
    yield put
    client.close()


@pytest.fixture
def table(amazon: Amazon) -> None:
    client = amazon.client("dynamodb")
    client.create_table(
        TableName="items",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    put(client, "items", [item_of(n) for n in range(ITEMS)])
    client.close()


def item_of(number: int) -> dict[str, Any]:
    texts = {"id": f"item{number:03}", "url": "http://u", "name": "Item", "image": "http://i"}
    return {**{name: {"S": text} for name, text in texts.items()}, "price": {"N": "5"}}


def put(client: Any, table: str, items: list[dict[str, Any]]) -> None:  # noqa: ANN401  # of the SDK, made at run time
    puts = [{"PutRequest": {"Item": item}} for item in items]
    for start in range(0, len(puts), 25):
        client.batch_write_item(RequestItems={table: puts[start : start + 25]})


async def look(door: Door, amazon: Amazon, is_so: Callable[[], object]) -> None:
    """Ask for a look at the source until something has come of it."""
    while not is_so():
        looks = amazon.asked["HEAD"]
        door.app.lifecycle.on_hangup()
        await asked(amazon, "HEAD", looks + 1)


async def test_an_object_is_fetched_once_for_each_etag(
    open_door: OpenDoor, amazon: Amazon, upload: Callable[[bytes], None], catalog_file: Path
) -> None:
    async with open_door(CATALOG_URL=S3) as door:
        before = amazon.asked["GET"]
        await look(door, amazon, lambda: amazon.asked["HEAD"] >= 3)
        upload(catalog_file.read_bytes())  # the same content has the same ETag
        await look(door, amazon, lambda: amazon.asked["HEAD"] >= 5)
        assert amazon.asked["GET"] == before
        upload(catalog_file.read_bytes().replace(b"item059,", b"\n,"))
        await look(door, amazon, lambda: amazon.asked["GET"] > before)
        await door.shows("catalog_items 59.0")
        await look(door, amazon, lambda: amazon.asked["HEAD"] >= 9)
        assert amazon.asked["GET"] == before + 1


@pytest.mark.parametrize("refused", ["HEAD", "GET"])
async def test_an_object_that_is_refused_keeps_the_old_catalogue_active_and_says_so(
    open_door: OpenDoor,
    amazon: Amazon,
    upload: Callable[[bytes], None],
    catalog_file: Path,
    *,
    refused: str,
) -> None:
    files = len(os.listdir("/proc/self/fd"))
    async with open_door(CATALOG_URL=S3) as door:
        before = (await door.get(PATH, user_id="a")).json()
        amazon.refused[refused] = DENIED
        upload(catalog_file.read_bytes().replace(b",38.50,", b",12.25,"))
        with capture_logs() as logs:
            door.app.lifecycle.on_hangup()
            await door.shows("catalog_refresh_failing 1.0")
        [problem] = [one["problem"] for one in logs if one["event"] == "catalog_not_replaced"]
        assert "(403)" in problem
        assert problem.startswith(S3)
        assert (await door.get(PATH, user_id="a")).json() == before
        amazon.refused.clear()
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 0.0")
        after = (await door.get(PATH, user_id="a")).json()
        assert [item["price"] for item in after][:2] == [37.5, 12.25]
        assert len(door.personalize.asked) == 1
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files)  # the server's thread closes its end


async def asked(amazon: Amazon, operation: str, times: int) -> None:
    await until(lambda: amazon.asked[operation] >= times)


async def test_a_hangup_while_the_catalogue_is_replaced_has_it_looked_at_once_more(
    open_door: OpenDoor, amazon: Amazon, upload: Callable[[bytes], None], catalog_file: Path
) -> None:
    async with open_door(CATALOG_URL=S3, CATALOG_REFRESH_SECONDS="86400") as door:
        looks, loads = amazon.asked["HEAD"], amazon.asked["GET"]
        amazon.held["GET"] = loading = Event()
        upload(catalog_file.read_bytes().replace(b"item059,", b"item999,"))
        door.app.lifecycle.on_hangup()
        await asked(amazon, "GET", loads + 1)
        door.app.lifecycle.on_hangup()
        assert amazon.asked["HEAD"] == looks + 1
        loading.set()
        await asked(amazon, "HEAD", looks + 2)
        assert amazon.asked["GET"] == loads + 1


@pytest.mark.parametrize("closed", [False, True])
async def test_an_object_that_never_ends_is_given_up_with_all_it_has_left(
    open_door: OpenDoor,
    amazon: Amazon,
    upload: Callable[[bytes], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    closed: bool,
) -> None:
    def trickle() -> Iterator[bytes]:
        for _ in range(600):
            yield b"x"
            time.sleep(0.05)

    files, tasks = len(os.listdir("/proc/self/fd")), asyncio.all_tasks()
    async with open_door(CATALOG_URL=S3) as door:
        if not closed:
            monkeypatch.setattr(s3, "MAX_COPY_SECONDS", 0.2)
        amazon.refused["GET"] = Response(trickle(), headers={"Content-Length": "600", "ETag": '"other"'})
        upload(b"anything else")
        door.app.lifecycle.on_hangup()
        await asked(amazon, "GET", 2)
        if not closed:
            await door.shows("catalog_refresh_failing 1.0")
        assert len((await door.get(PATH, user_id="a")).json()) == 10
    assert asyncio.all_tasks() == tasks
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files)  # the server's thread closes its end
    assert [name for name in os.listdir(tmp_path / "data") if not name.startswith("catalog-columns-")] == []


async def test_a_throttled_table_is_waited_for_until_the_deadline_and_no_longer(
    open_door: OpenDoor, amazon: Amazon, table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del table
    monkeypatch.setattr(dynamodb_source, "MAX_SAMPLE_ITEMS", 20)
    # Far above the deadline: a busy machine cannot make one look like the other.
    monkeypatch.setattr(dynamodb_catalog, "MIN_BATCH_SECONDS", 60.0)
    async with open_door(CATALOG_URL="dynamodb://items", REQUEST_DEADLINE_SECONDS=str(DEADLINE_SECONDS)) as door:
        amazon.refused["BatchGetItem"] = THROTTLED
        shown = {item["id"] for item in (await door.get(PATH, user_id="", num_results=20)).json()}
        assert len(shown) == 20
        [unknown] = [user for user in "abcd" if f"item{ord(user) % ITEMS:03}" not in shown][:1]
        async with asyncio.timeout(10):
            answer = await door.get(PATH, user_id=unknown)
        assert amazon.asked["BatchGetItem"] > 1
        assert answer.status_code == 200
        assert len(answer.json()) == 10
        assert {item["id"] for item in answer.json()} <= shown
        assert len(door.personalize.asked) == 1
    assert [task for task in asyncio.all_tasks() if task.get_name() == "catalog-batch"] == []


@pytest.fixture
def long_table(amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five items more than are looked at; only they have attributes of their own, and they come last in a scan, too."""
    for module in (dynamodb_source, dynamodb_catalog):
        monkeypatch.setattr(module, "MAX_SAMPLE_ITEMS", SAMPLE_ITEMS)
    client = amazon.client("dynamodb")
    client.create_table(
        TableName="long",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    late: list[dict[str, Any]] = [{"sale_price": {"N": "3"}, "sold_out": {"BOOL": n % 2 == 0}} for n in range(5)]
    items = [item_of(n) for n in range(SAMPLE_ITEMS + 5)]
    put(client, "long", [*items[:SAMPLE_ITEMS], *map(operator.or_, items[SAMPLE_ITEMS:], late)])
    client.close()


async def test_an_attribute_that_only_later_items_have_can_be_shown_and_excluded_by(
    open_door: OpenDoor, long_table: None
) -> None:
    """A2."""
    del long_table
    last = [f"item{n}" for n in range(SAMPLE_ITEMS, SAMPLE_ITEMS + 5)]
    rule = 'EXCLUDE ItemID WHERE Items.sold_out IN ("true")'
    popular = ",".join([*last, "item000"])
    async with open_door(CATALOG_URL="dynamodb://long", EXCLUSION_FILTER=rule, POPULAR_ITEMS=popular) as door:
        answer = await door.get(PATH, user_id="", num_results=3, fields="sale_price,never_seen")
    assert answer.status_code == 200
    assert [(item["id"], item["sale_price"], item["never_seen"]) for item in answer.json()] == [
        ("item101", 3, None),
        ("item103", 3, None),
        ("item000", None, None),
    ]


async def test_a_filter_of_requests_may_name_an_attribute_that_no_item_has_shown_yet(
    open_door: OpenDoor, long_table: None
) -> None:
    """A2."""
    del long_table
    rule = "EXCLUDE ItemID WHERE Items.sale_price < $MOST"
    popular = "item100,item000"
    async with open_door(CATALOG_URL="dynamodb://long", EXCLUSION_FILTER=rule, POPULAR_ITEMS=popular) as door:
        for most, first in (("1", "item100"), ("9", "item000")):
            answer = await door.get(PATH, user_id="", num_results=1, **{"filter_values.MOST": most})
            assert [item["id"] for item in answer.json()] == [first]


async def test_popular_items_anywhere_in_a_table_are_shown_first_also_after_an_hour_without_them(
    open_door: OpenDoor, long_table: None
) -> None:
    """A3."""
    del long_table
    first = ["item104", "item102"]
    async with open_door(CATALOG_URL="dynamodb://long", POPULAR_ITEMS=",".join(first)) as door:
        shown = (await door.get(PATH, user_id="", num_results=4)).json()
        assert [item["id"] for item in shown][:2] == first
        door.clock.moved_seconds += 3600
        await door.get(PATH, user_id="a", num_results=20)  # what is fetched for others does not push them out
        shown = (await door.get(PATH, user_id="", num_results=4)).json()
        assert [item["id"] for item in shown][:2] == first


async def test_popular_items_that_a_table_lacks_are_said(
    open_door: OpenDoor, long_table: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6."""
    del long_table
    monkeypatch.setattr(curated, "FETCH_SECONDS", PATIENCE_SECONDS)
    with capture_logs() as logs:
        async with open_door(CATALOG_URL="dynamodb://long", POPULAR_ITEMS="item104,gone"):
            pass
    assert [(log["count"], log["first"]) for log in logs if log["event"] == "popular_items_unknown"] == [(1, ["gone"])]


async def test_nested_values_of_a_table_are_read_by_path(open_door: OpenDoor, amazon: Amazon) -> None:
    """C4."""
    client = amazon.client("dynamodb")
    client.create_table(
        TableName="nested",
        KeySchema=[{"AttributeName": "sku", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "sku", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {
        "sku": {"S": "a b"},
        "title": {"S": "N"},
        "pricing": {"M": {"now": {"N": "7.5"}}},
        "media": {"L": [{"M": {"url": {"S": "https://i/1.jpg"}}}]},
    }
    client.put_item(TableName="nested", Item=item)
    client.close()
    columns = "price=pricing.now,image=media[0].url,url=https://u/{sku}"
    async with open_door(CATALOG_URL="dynamodb://nested", CATALOG_COLUMNS=columns) as door:
        shown = (await door.get(PATH, user_id="", fields="pricing")).json()
    assert shown == [
        {
            "id": "a b", "url": "https://u/a%20b", "name": "N", "price": 7.5, "image": "https://i/1.jpg",
            "pricing": {"now": 7.5},
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "encoding"),
    [(gzip.compress, "gzip"), (lambda plain: gzip.compress(gzip.compress(plain)), "gzip"), (bytes, "aws-chunked")],
)
async def test_an_object_is_read_whatever_its_name_and_content_encoding_say(
    open_door: OpenDoor, amazon: Amazon, catalog_file: Path, content: Callable[[bytes], bytes], encoding: str
) -> None:
    """C8."""
    client = amazon.client("s3")
    client.create_bucket(Bucket="packed")
    body = content(catalog_file.read_bytes())
    client.put_object(Bucket="packed", Key="feed/latest", Body=body, ContentEncoding=encoding)
    client.close()
    async with open_door(CATALOG_URL="s3://packed/feed/latest") as door:
        assert len((await door.get(PATH, user_id="", num_results=20)).json()) == 20


async def test_an_object_packed_with_brotli_is_one_line_with_the_way_out(open_door: OpenDoor, amazon: Amazon) -> None:
    """C8."""
    client = amazon.client("s3")
    client.create_bucket(Bucket="packed")
    client.put_object(Bucket="packed", Key="items.csv", Body=b"\x0b\x02", ContentEncoding="br")
    client.close()
    with pytest.raises(ConfigurationError, match=r"Content-Encoding is br .Brotli.; store it with gzip or as it is"):
        async with open_door(CATALOG_URL="s3://packed/items.csv"):
            pass


async def test_what_is_popular_in_a_table_is_shown_after_an_hour_without_a_call(
    open_door: OpenDoor, table: None
) -> None:
    del table
    async with open_door(CATALOG_URL="dynamodb://items") as door:
        door.clock.moved_seconds += 3600
        assert len((await door.get(PATH, user_id="", num_results=20)).json()) == 20
