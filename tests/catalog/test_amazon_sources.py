"""The catalogue's sources at Amazon, through the real SDK, against moto's server."""

import asyncio
import gzip
import json
import resource
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from service.aws.session import AwsSession
from service.catalog.adapters import s3
from service.catalog.adapters.dynamodb_catalog import FRESH_SECONDS
from service.catalog.adapters.dynamodb_source import DynamoDbSource
from service.catalog.adapters.s3 import S3Source
from service.catalog.check import check_catalog
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError
from tests.support.amazon import Amazon

CSV = b"id,url,name,price,image\n" + b"".join(
    b"id%d,http://u/%d,Item %d,5,http://i/%d\n" % (n, n, n, n) for n in range(150)
)
IDS = [f"id{n}" for n in range(150)]


@pytest.fixture
def aws(amazon: Amazon) -> Callable[[str], Any]:
    return amazon.client


@pytest.fixture
async def s3_source(
    aws: Callable[[str], Any], aws_session: AwsSession, tmp_path: Path
) -> AsyncIterator[tuple[S3Source, Any]]:
    client = aws("s3")
    client.create_bucket(Bucket="shop")
    client.put_object(Bucket="shop", Key="items.csv.gz", Body=gzip.compress(CSV))
    source = S3Source("s3://shop/items.csv.gz", Recipe({}, None, tmp_path), aws_session)
    yield source, client
    await source.close()
    client.close()


def test_the_address_of_an_object_is_its_bucket_and_its_key() -> None:
    source = S3Source("s3://shop/a/b#c?d://e%20f", Recipe({}, None, Path()), cast(AwsSession, None))
    assert (source._bucket, source._key) == ("shop", "a/b#c?d://e%20f")
    for url, problem in (
        *((one, "must be s3://bucket/key") for one in ("s3://shop", "s3://shop/", "s3:///key", "s3:shop/key")),
        ("s3://[x/key", "Invalid IPv6 URL"),
    ):
        with pytest.raises(CatalogError, match=f": {problem}$"):
            S3Source(url, Recipe({}, None, Path()), cast(AwsSession, None))


async def test_a_copy_that_is_given_up_waits_for_its_write_whatever_becomes_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def write(*_: object) -> None:
        loop.call_soon_threadsafe(began.set)
        go.wait()
        raise OSError("full")

    monkeypatch.setattr(s3, "_write", write)
    writing = asyncio.create_task(s3._written(3, b"x"))
    await began.wait()
    writing.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not writing.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_s3_object_is_unpacked_and_known_by_its_etag(s3_source: tuple[S3Source, Any]) -> None:
    source, client = s3_source
    catalog = await source.load(1)
    assert list(catalog.first_ids()) == IDS
    assert await source.version() == source.loaded_version
    client.put_object(Bucket="shop", Key="items.csv.gz", Body=gzip.compress(CSV.replace(b",5,", b",6,")))
    assert await source.version() != source.loaded_version
    row = (await source.load(2)).rows(["id0"])[0]
    assert row is not None
    assert json.loads(row.fragment)["price"] == 6


async def test_s3_object_that_is_gone_or_cut_short_is_an_error_that_names_it(s3_source: tuple[S3Source, Any]) -> None:
    source, client = s3_source
    await source.load(1)
    loaded = source.loaded_version
    client.put_object(Bucket="shop", Key="items.csv.gz", Body=gzip.compress(CSV)[:-20])
    with pytest.raises(CatalogError, match=r"s3://shop/items\.csv\.gz"):
        await source.load(2)
    client.delete_object(Bucket="shop", Key="items.csv.gz")
    with pytest.raises(CatalogError, match=r"s3://shop/items\.csv\.gz: .*404"):
        await source.version()
    assert source.loaded_version == loaded


async def test_a_compressed_object_can_be_checked(s3_source: tuple[S3Source, Any]) -> None:
    del s3_source
    assert (await check_catalog("s3://shop/items.csv.gz", column_mapping={})).shown == len(IDS)


async def test_a_full_disk_is_one_line_and_what_is_there_stays(s3_source: tuple[S3Source, Any], tmp_path: Path) -> None:
    source, client = s3_source
    await source.load(1)
    loaded = source.loaded_version
    for size in (1 << 20) + 100, 1_500:
        client.put_object(Bucket="shop", Key="items.csv.gz", Body=b"x" * size)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, hard))
        try:
            with pytest.raises(CatalogError, match="^DATA_DIR .*: cannot be written: File too large"):
                await source.load(2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert source.loaded_version == loaded
    assert list(tmp_path.iterdir()) == []


class Partly:
    """The SDK's client, whose batches are throttled once and then answered in part once."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  # the SDK's class is made at run time
        self._client = client
        self.asked: list[dict[str, Any]] = []

    async def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: ANN401, N803  # the SDK's
        request = RequestItems["items"]
        self.asked.append(request)
        if len(self.asked) == 1:
            error = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}
            raise ClientError(error, "BatchGetItem")
        if len(self.asked) > 2:
            return await self._client.batch_get_item(RequestItems=RequestItems)
        first = {**request, "Keys": request["Keys"][:1]}
        output = await self._client.batch_get_item(RequestItems={"items": first})
        return {**output, "UnprocessedKeys": {"items": {**request, "Keys": request["Keys"][1:]}}}


async def test_dynamodb_items_are_asked_for_until_all_are_there_and_then_kept(
    aws: Callable[[str], Any], aws_session: AwsSession, tmp_path: Path
) -> None:
    table = aws("dynamodb")
    table.create_table(
        TableName="items",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for item_id in IDS[:5]:
        texts = {"id": item_id, "url": "http://u", "name": "Item", "image": "http://i"}
        item = {**{name: {"S": text} for name, text in texts.items()}, "price": {"N": "5"}, "blob": {"B": b"big"}}
        table.put_item(TableName="items", Item=item)
    now = 0.0
    source = DynamoDbSource("dynamodb://items", Recipe({}, None, tmp_path), aws_session, monotonic=lambda: now)
    catalog = await source.load(1)
    client = Partly(catalog._table.client)
    catalog._table.client = client
    wanted = [*IDS[:5], "no-such-item"]
    now = FRESH_SECONDS + 1
    await catalog.prefetch(wanted, 5)
    assert [row is not None for row in catalog.rows(wanted)] == [True] * 5 + [False]
    assert catalog.missing(wanted) == []
    assert [len(request["Keys"]) for request in client.asked] == [6, 6, 5]
    await catalog.prefetch(wanted, 5)
    assert len(client.asked) == 3
    await source.close()
    table.close()


async def test_a_table_looked_at_anew_is_newer_than_before_however_long_it_took(
    aws: Callable[[str], Any], aws_session: AwsSession, tmp_path: Path
) -> None:
    table = aws("dynamodb")
    table.create_table(
        TableName="slow",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    texts = {"id": "a", "url": "http://u", "name": "Item", "image": "http://i"}
    item = {**{name: {"S": text} for name, text in texts.items()}, "price": {"N": "5"}}
    table.put_item(TableName="slow", Item=item)
    now = 0.0
    source = DynamoDbSource("dynamodb://slow", Recipe({}, None, tmp_path), aws_session, monotonic=lambda: now)
    old = await source.load(1)
    now = FRESH_SECONDS - 1
    loading = asyncio.create_task(source.load(old.version + 1))
    await asyncio.sleep(0)
    now += 2 * FRESH_SECONDS
    assert (await loading).version > old.version
    await source.close()
    table.close()
