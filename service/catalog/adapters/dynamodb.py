"""The catalogue in a DynamoDB table: nothing is copied, items are fetched as lists name them."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from aiobotocore.config import AioConfig
from botocore import exceptions as sdk
from cachetools import LRUCache

from service.aws.errors import AwsClient, readable_sdk_errors
from service.catalog.item import CatalogRow
from service.catalog.reading.build import Recipe
from service.catalog.reading.rows import Columns, Eligible, RowReader, exclusion_of
from service.errors import CatalogError

_log = structlog.stdlib.get_logger(__name__)

FRESH_SECONDS: Final = 15.0
"""Ours: a price changed in the table shows after so many seconds. Each item costs a read as often."""

USABLE_SECONDS: Final = 300.0
"""While DynamoDB does not answer, what was read is shown for so long."""

CACHED_ITEMS: Final = 50_000
"""Items kept in memory, about 50 MB."""

MAX_KEYS: Final = 100
"""Keys of one BatchGetItem. Source: DynamoDB API reference, BatchGetItem."""

SAMPLE_ITEMS: Final = 1_000
"""Items read at the start: the further columns are theirs, and they are what comes first."""

MAX_COLUMNS: Final = 100
"""Further columns: all attributes are named in one expression of at most 4 kB.

Source: Service quotas of DynamoDB, expression parameters."""

BATCH_SECONDS: Final = 1.0
"""A batch goes on for so long although nobody waits for it any more."""

MAX_KEY_BYTES: Final = 2_048
"""Length of a partition key. Source: Service quotas of DynamoDB."""

MAX_DIGITS: Final = 15
"""Whole numbers of more digits become floats, as in JSON that others write."""

_NUMBER_KEY = re.compile(r"0|-?(?:[1-9][0-9]{0,18}|0(?=\.))(?:\.[0-9]{0,17}[1-9])?", re.ASCII)
"""A number as DynamoDB writes it; another way to write the same one would be a key asked for twice."""

_FIRST_PAUSE_SECONDS: Final = 0.02

_RETRIED: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)

_CONFIG: Final = {
    # What is unprocessed or throttled is asked for again here, inside the deadline.
    "retries": {"total_max_attempts": 1, "mode": "standard"},
    "connect_timeout": 1,
    "read_timeout": 5,
    "max_pool_connections": 50,
}


class DynamoDbSource:
    """A table whose partition key is the item's id."""

    def __init__(self, url: str, recipe: Recipe, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the table's name.

        Raises:
            CatalogError: The URL names none.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise CatalogError(f"CATALOG_URL {url}: {error}") from error
        if not parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
            raise CatalogError(f"CATALOG_URL {url}: must be dynamodb://table")
        self.label = url
        self._table = parts.netloc
        self._recipe = recipe
        self._monotonic = monotonic
        self._client = AwsClient("dynamodb", AioConfig(**_CONFIG))
        self._batches: set[asyncio.Task[None]] = set()
        self.loaded_version = ""

    async def version(self) -> str:
        """The table's age and its count of items, which Amazon brings up to date every six hours.

        Items that change need no new snapshot: see `DynamoDbCatalog`.
        """
        with readable_sdk_errors(self.label):
            return _version_of(await self._described())

    async def load(self, version: int) -> "DynamoDbCatalog":
        """Look at the table's first items."""
        began = self._monotonic()
        with readable_sdk_errors(self.label):
            table = await self._described()
            key = _key_of(table, self.label)
            sample = [item async for item in self._scanned(SAMPLE_ITEMS)]
        columns = self._columns(sample, key[0])
        exclusion = exclusion_of(self._recipe.exclusion_filter)
        eligible = None if exclusion is None else exclusion(columns)
        catalog = DynamoDbCatalog(
            await self._client.get(),
            table=self._table,
            key=key,
            columns=columns,
            eligible=eligible,
            # The one in force counts on while this one is made, and must not catch up.
            version=version + 1,
            born=began,
            items=int(table.get("ItemCount", 0)),
            monotonic=self._monotonic,
            batches=self._batches,
        )
        catalog.keep_first(sample)
        self.loaded_version = _version_of(table)
        return catalog

    def _columns(self, sample: Iterable[Mapping[str, Any]], key: str) -> Columns:
        names: dict[str, None] = {}
        for item in sample:
            names.update((name, None) for name, value in item.items() if not {"B", "M", "L", "BS"} & value.keys())
        mapping = {"id": key, **self._recipe.column_mapping}
        if names and mapping["id"] != key:
            raise CatalogError(f"{self.label}: id is mapped to {mapping['id']}, but its partition key is {key}")
        columns = Columns.matched(list(names), mapping, self.label)
        further = columns.further[:MAX_COLUMNS]
        kept = {*columns.ours.values(), *further}
        return Columns(tuple(name for name in columns.names if name in kept), columns.ours, further)

    async def scanned(self) -> AsyncIterator[dict[str, object]]:
        """Every item as a row; it costs a read of the whole table."""
        with readable_sdk_errors(self.label):
            _key_of(await self._described(), self.label)
            async for item in self._scanned():
                yield {name: _value(value) for name, value in item.items()}

    async def _described(self) -> Mapping[str, Any]:
        client = await self._client.get()
        table: Mapping[str, Any] = (await client.describe_table(TableName=self._table))["Table"]
        return table

    async def _scanned(self, most: int | None = None) -> AsyncIterator[Mapping[str, Any]]:
        client = await self._client.get()
        start: dict[str, Any] = {}
        seen = 0
        while True:
            limit = {} if most is None else {"Limit": most - seen}
            page = await client.scan(TableName=self._table, **limit, **start)
            for item in page["Items"]:
                yield item
            seen += len(page["Items"])
            last = page.get("LastEvaluatedKey")
            if not last or (most is not None and seen >= most):
                return
            start = {"ExclusiveStartKey": last}

    async def close(self) -> None:
        """Give up what snapshots are fetching, and close the connections."""
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)
        await self._client.close()


def _version_of(table: Mapping[str, Any]) -> str:
    return f"{table.get('CreationDateTime')}-{table.get('ItemCount')}"


def _key_of(table: Mapping[str, Any], label: str) -> tuple[str, str]:
    """Name and type of the key."""
    schema = table["KeySchema"]
    if len(schema) != 1:
        raise CatalogError(f"{label}: has a sort key; the partition key alone must be the item's id")
    name = str(schema[0]["AttributeName"])
    kinds = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    if kinds[name] not in ("S", "N"):
        raise CatalogError(f"{label}: its key {name} is neither text nor a number")
    return name, kinds[name]


class DynamoDbCatalog:
    """A table as an `ItemCatalog`: `rows` answers from memory what `prefetch` has brought there.

    Its version grows every `FRESH_SECONDS`, so that no answer rendered before outlives what it shows.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401  # the SDK makes its clients' classes at run time
        *,
        table: str,
        key: tuple[str, str],
        columns: Columns,
        eligible: Eligible | None,
        version: int,
        born: float,
        items: int,
        monotonic: Callable[[], float],
        batches: set[asyncio.Task[None]],
    ) -> None:
        self.columns: Final = columns.further
        self._client = client
        self._table = table
        self._key, self._key_type = key
        self._names = columns.names
        self._reader = RowReader(columns, eligible)
        self._base_version = version
        self._items = items
        self._monotonic = monotonic
        self._born = born
        self._batches = batches
        self._cache: LRUCache[str, tuple[float, CatalogRow | None]] = LRUCache(CACHED_ITEMS)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._first: tuple[str, ...] = ()
        marks = {f"#a{number}": name for number, name in enumerate(columns.names)}
        self._projection = {"ProjectionExpression": ",".join(marks), "ExpressionAttributeNames": marks}

    @property
    def version(self) -> int:
        """Grows every `FRESH_SECONDS`."""
        return self._base_version + int((self._monotonic() - self._born) // FRESH_SECONDS)

    def __len__(self) -> int:
        """Items as Amazon counts them, every six hours; at least those that were seen."""
        return max(self._items, len(self._first))

    def rows(self, item_ids: Sequence[str]) -> list[CatalogRow | None]:
        """One entry for each id; None where there is no complete item, or it was not fetched in time."""
        oldest = self._monotonic() - USABLE_SECONDS
        entries = [self._cache.get(item_id) for item_id in item_ids]
        return [None if entry is None or entry[0] < oldest else entry[1] for entry in entries]

    def missing(self, item_ids: Iterable[str]) -> list[str]:
        """Those that `prefetch` would ask for."""
        oldest = self._monotonic() - FRESH_SECONDS
        return [
            item_id
            for item_id in dict.fromkeys(item_ids)
            if (entry := self._cache.get(item_id)) is None or entry[0] < oldest
        ]

    async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
        """Bring items into memory as far as the time allows; never fails.

        An item that is being fetched already is waited for, not asked for again.
        """
        missing = self.missing(item_ids)
        new = [item_id for item_id in missing if item_id not in self._under_way]
        seconds = max(timeout_seconds, BATCH_SECONDS)
        for start in range(0, len(new), MAX_KEYS):
            batch = new[start : start + MAX_KEYS]
            task = asyncio.create_task(self._fetch(batch, seconds), name="catalog-batch")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
            self._under_way.update(dict.fromkeys(batch, task))
            task.add_done_callback(lambda _, batch=batch: self._landed(batch))  # type: ignore[misc]  # bound early
        tasks = {self._under_way[item_id] for item_id in missing if item_id in self._under_way}
        if tasks and timeout_seconds > 0:
            await asyncio.wait(tasks, timeout=timeout_seconds)

    def first_ids(self) -> Iterable[str]:
        """What a scan found first, as far as it may be shown."""
        return iter(self._first)

    def keep_first(self, sample: Iterable[Mapping[str, Any]]) -> None:
        """Take a scan's items into memory.

        Raises:
            CatalogError: None of them is complete.
        """
        now = self._monotonic()
        for item in sample:
            self._keep(item, now)
        shown = (item_id for item_id, (_, row) in self._cache.items() if row is not None and row.eligible)
        self._first = tuple(islice(shown, SAMPLE_ITEMS))
        if not any(row for _, row in self._cache.values()):
            raise self._reader.nothing_usable(f"dynamodb://{self._table}")

    def close(self) -> None:
        """Nothing to give back: the source holds the connections."""

    def _landed(self, batch: Iterable[str]) -> None:
        for item_id in batch:
            self._under_way.pop(item_id, None)

    async def _fetch(self, batch: Sequence[str], seconds: float) -> None:
        began = self._monotonic()
        keys = [{self._key: {self._key_type: item_id}} for item_id in batch if self._can_be_key(item_id)]
        try:
            async with asyncio.timeout(seconds):
                await self._fetch_all(keys)
        except TimeoutError:
            _log.warning("catalog items not fetched", reason="timeout", items=len(batch))
            return
        # Whatever the SDK comes up with: what is in memory is shown, and the next request asks again.
        except Exception as error:  # noqa: BLE001  # logged here
            _log.warning("catalog items not fetched", reason=f"{type(error).__name__}: {error}", items=len(batch))
            return
        now = self._monotonic()
        for item_id in batch:
            entry = self._cache.get(item_id)
            if entry is None or entry[0] < began:
                self._cache[item_id] = (now, None)

    async def _fetch_all(self, keys: Sequence[Mapping[str, Any]]) -> None:
        """Ask until every key has been processed."""
        pause = _FIRST_PAUSE_SECONDS
        while keys:
            keys = await self._fetch_once(keys)
            if keys:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads retries, no secret
                pause *= 2

    async def _fetch_once(self, keys: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Ask once; the keys to ask for again."""
        try:
            output = await self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, **self._projection}})
        except sdk.ClientError as error:
            if error.response.get("Error", {}).get("Code") in _RETRIED:
                return keys
            raise
        now = self._monotonic()
        for item in output.get("Responses", {}).get(self._table, ()):
            self._keep(item, now)
        unprocessed: Sequence[Mapping[str, Any]] = (
            output.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", ())
        )
        return unprocessed

    def _keep(self, item: Mapping[str, Any], now: float) -> None:
        record = [_value(item.get(name)) for name in self._names]
        item_id = item.get(self._key, {}).get(self._key_type)
        ours, reason = self._reader.item(record)
        row = None
        if reason is None and item_id is not None:
            eligible = self._reader.is_eligible(ours, record)
            row = CatalogRow.from_values(ours, self._reader.further(record), eligible=eligible)
        if isinstance(item_id, str):
            self._cache[item_id] = (now, row)

    def _can_be_key(self, item_id: str) -> bool:
        """Whether DynamoDB would not refuse the whole batch for it."""
        if self._key_type == "N":
            return _NUMBER_KEY.fullmatch(item_id) is not None
        try:
            return 0 < len(item_id.encode()) <= MAX_KEY_BYTES
        except UnicodeEncodeError:
            return False


def _value(value: Mapping[str, Any] | None) -> object:
    """DynamoDB's typed value as what JSON Lines would hold; several texts are joined as filters read them."""
    if not value:
        return None
    kind, content = next(iter(value.items()))
    if kind == "N":
        short = content.lstrip("-").isdigit() and len(content) <= MAX_DIGITS
        return int(content) if short else float(content)
    if kind in ("SS", "NS"):
        return "|".join(sorted(content))
    return content if kind in ("S", "BOOL") else None
