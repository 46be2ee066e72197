"""The catalogue in S3 or DynamoDB, while Amazon refuses."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from structlog.testing import capture_logs
from werkzeug.wrappers import Response

from service.catalog.adapters import dynamodb_catalog, dynamodb_source, s3
from tests.support.amazon import DENIED, THROTTLED, Amazon
from tests.support.front_door import ITEMS, Door, OpenDoor
from tests.support.waiting import until

PATH = "/recommendations"
S3 = "s3://shop/items.csv"
DEADLINE_SECONDS = 0.5


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
    for n in range(ITEMS):
        texts = {"id": f"item{n:03}", "url": "http://u", "name": "Item", "image": "http://i"}
        item = {**{name: {"S": text} for name, text in texts.items()}, "price": {"N": "5"}}
        client.put_item(TableName="items", Item=item)
    client.close()


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
    assert os.listdir(tmp_path / "data") == []


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


async def test_what_is_popular_in_a_table_is_shown_after_an_hour_without_a_call(
    open_door: OpenDoor, table: None
) -> None:
    del table
    async with open_door(CATALOG_URL="dynamodb://items") as door:
        door.clock.ahead_seconds += 3600
        assert len((await door.get(PATH, user_id="", num_results=20)).json()) == 20
