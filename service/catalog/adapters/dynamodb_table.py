"""A DynamoDB table as the SDK shows it: its description, its items, and the translation of its values."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore import exceptions as sdk

from service.errors import CatalogError

Attributes = Mapping[str, Any]
"""An item, or a key, as the SDK gives and takes it: typed values by attribute name."""

MAX_BATCH_KEYS: Final = 100
"""Keys of one BatchGetItem. Source: DynamoDB API reference, BatchGetItem."""

MAX_KEY_BYTES: Final = 2_048
"""Length of a partition key. Source: Service quotas of DynamoDB."""

_NUMBER_KEY = re.compile(r"0|-?(?:[1-9][0-9]{0,18}|0(?=\.))(?:\.[0-9]{0,17}[1-9])?", re.ASCII)
"""A number as DynamoDB writes it; another way to write the same one would be a key asked for twice."""

_RETRIED: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)


@dataclass(frozen=True, slots=True)
class TableKey:
    """The partition key of a table."""

    name: str

    kind: str
    """DynamoDB's type of its values: S, or N."""

    def can_hold(self, item_id: str) -> bool:
        """Whether the id can be a key; one that cannot would have DynamoDB refuse a whole batch."""
        if self.kind == "N":
            return _NUMBER_KEY.fullmatch(item_id) is not None
        try:
            return 0 < len(item_id.encode()) <= MAX_KEY_BYTES
        except UnicodeEncodeError:
            return False

    def of(self, item_id: str) -> Attributes:
        """The key of an item."""
        return {self.name: {self.kind: item_id}}

    def id_in(self, item: Attributes) -> str | None:
        """The id of an item."""
        found: str | None = item.get(self.name, {}).get(self.kind)
        return found


@dataclass(frozen=True, slots=True)
class TableDescription:
    """What DynamoDB says of a table."""

    key: TableKey

    items: int
    """Items as Amazon counts them, every six hours."""

    version: str
    """The table's age and its count of items."""


class DynamoDbTable:
    """A table whose partition key is the item's id.

    Args:
        client: The SDK's, open for as long as this is used.
        name: Name of the table.
        label: Names the table in errors.
    """

    def __init__(self, client: Any, name: str, label: str) -> None:  # noqa: ANN401  # the SDK makes its class
        self.client = client
        self.name = name
        self._label = label

    async def description(self) -> TableDescription:
        """What DynamoDB says of the table now.

        Raises:
            CatalogError: Its key cannot be an item's id.
        """
        table: Mapping[str, Any] = (await self.client.describe_table(TableName=self.name))["Table"]
        schema = table["KeySchema"]
        if len(schema) != 1:
            raise CatalogError(f"{self._label}: has a sort key; the partition key by itself must be the item's id")
        name = str(schema[0]["AttributeName"])
        kinds = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
        if kinds[name] not in ("S", "N"):
            raise CatalogError(f"{self._label}: its key {name} is neither text nor a number")
        return TableDescription(
            TableKey(name, kinds[name]),
            int(table.get("ItemCount", 0)),
            f"{table.get('CreationDateTime')}-{table.get('ItemCount')}",
        )

    async def scanned(self, max_items: int | None = None) -> AsyncIterator[Attributes]:
        """The table's items in its own order; a scan costs a read of all of them."""
        start: dict[str, Any] = {}
        seen = 0
        while True:
            limit = {} if max_items is None else {"Limit": max_items - seen}
            page = await self.client.scan(TableName=self.name, **limit, **start)
            for item in page["Items"]:
                yield item
            seen += len(page["Items"])
            last = page.get("LastEvaluatedKey")
            if not last or (max_items is not None and seen >= max_items):
                return
            start = {"ExclusiveStartKey": last}

    async def batch(self, keys: Sequence[Attributes]) -> tuple[Sequence[Attributes], Sequence[Attributes]]:
        """Ask once for items, with all their attributes: naming some would cost as much.

        Args:
            keys: At most `MAX_BATCH_KEYS`.

        Returns:
            The items found, and the keys to ask for again: all of them where the table is throttled.
        """
        try:
            output = await self.client.batch_get_item(RequestItems={self.name: {"Keys": keys}})
        except sdk.ClientError as error:
            if error.response.get("Error", {}).get("Code") in _RETRIED:
                return (), keys
            raise
        found: Sequence[Attributes] = output.get("Responses", {}).get(self.name, ())
        unprocessed: Sequence[Attributes] = output.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", ())
        return found, unprocessed
