"""The catalogue in a DynamoDB table: nothing is copied, items are fetched as lists name them."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import IO, Final, cast
from urllib.parse import urlsplit

import orjson
import structlog
from aiobotocore.config import AioConfig

from service.aws.client import AwsClient
from service.aws.errors import readable_sdk_errors
from service.aws.session import AwsSession
from service.catalog.adapters.dynamodb_catalog import MAX_SAMPLE_ITEMS, DynamoDbCatalog
from service.catalog.adapters.dynamodb_table import Attributes, DynamoDbTable
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import SourceContent
from service.catalog.reading.cells import plain_value
from service.catalog.reading.columns import Columns
from service.catalog.reading.exclusion import exclusion_of, parsed_exclusion
from service.catalog.reading.lines import MAX_COLUMNS
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError
from service.filters.model import Dataset

_log = structlog.stdlib.get_logger(__name__)

_CONFIG: Final = {
    # What is unprocessed or throttled is asked for again by the catalogue, inside the request's deadline.
    "retries": {"total_max_attempts": 1, "mode": "standard"},
    "connect_timeout": 1,
    "read_timeout": 5,
    "max_pool_connections": 50,
}


class DynamoDbSource:
    """A table whose partition key is the item's id."""

    def __init__(
        self, url: str, recipe: Recipe, aws: AwsSession, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
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
        self._name = parts.netloc
        self._recipe = recipe
        self._monotonic = monotonic
        self._client = AwsClient(aws, "dynamodb", AioConfig(**_CONFIG))
        asked = parsed_exclusion(recipe.exclusion_filter).fields() if recipe.exclusion_filter else ()
        self._asked = [field.name for field in asked if field.dataset is Dataset.ITEMS]
        self._batches: set[asyncio.Task[None]] = set()
        self.loaded_version = ""

    async def version(self) -> str:
        """The table's age and its count of items, which Amazon brings up to date every six hours.

        Items that change need no new snapshot: see `DynamoDbCatalog`.
        """
        with readable_sdk_errors(self.label, CatalogError):
            return (await (await self._table()).description()).version

    async def load(self, version: int, known: Sequence[str] = ()) -> DynamoDbCatalog:
        """A catalogue that knows the table's first items."""
        began = self._monotonic()
        with readable_sdk_errors(self.label, CatalogError):
            table = await self._table()
            description = await table.description()
            sample = [item async for item in table.scanned(MAX_SAMPLE_ITEMS)]
        columns = self._columns(sample, description.key.name, known)
        exclusion = exclusion_of(self._recipe.exclusion_filter)
        catalog = DynamoDbCatalog(
            table,
            description,
            columns=columns,
            eligible=None if exclusion is None else exclusion(columns),
            # The active one counts on while this one is made, and must not catch up.
            version=version + 1,
            born=began,
            monotonic=self._monotonic,
            batches=self._batches,
        )
        tally = catalog.keep_first(sample)
        if not tally.items:
            raise tally.nothing_usable(self.label)
        self.loaded_version = description.version
        return catalog

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SourceContent]:
        """Every item as JSON Lines in a temporary file; it costs a read of the whole table."""
        with cast("IO[bytes]", tempfile.TemporaryFile()) as stream:
            with readable_sdk_errors(self.label, CatalogError):
                table = await self._table()
                description = await table.description()
                async for item in table.scanned():
                    row = {name: plain_value(value) for name, value in item.items()}
                    stream.write(orjson.dumps(row) + b"\n")
            yield SourceContent(stream, description.version)

    async def close(self) -> None:
        """Give up what snapshots are fetching, and close the connections."""
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)
        await self._client.close()

    async def _table(self) -> DynamoDbTable:
        return DynamoDbTable(await self._client.get(), self._name, self.label)

    def _columns(self, sample: Iterable[Attributes], key: str, known: Sequence[str]) -> Columns:
        """The columns of the first items, those known before, and those that the exclusion asks for.

        Any item may have others: a table has no columns that its items must have.
        """
        names: dict[str, None] = {}
        for item in sample:
            names.update(dict.fromkeys(item))
        mapping = {"id": key, **self._recipe.column_mapping}
        if names and mapping["id"] != key:
            raise CatalogError(f"{self.label}: id is mapped to {mapping['id']}, but its partition key is {key}")
        if names:
            here = {name.casefold() for name in (*names, *ITEM_COLUMNS)}
            names.update(dict.fromkeys(name for name in self._asked if name.casefold() not in here))
            names.update(dict.fromkeys(known))
        columns = Columns.matched(list(names)[:MAX_COLUMNS], mapping, self.label, is_sparse=True)
        if columns.guessed:
            _log.info("catalog_columns_guessed", source=self.label, columns=columns.mapping)
        return columns
