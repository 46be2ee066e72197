"""Builds what `catalog push` needs."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import SourceContent
from service.catalog.reading.rows import read_items
from service.events.adapters.datasets import PersonalizeItems, dataset_schema
from service.events.items.push import ItemPush, PushReport
from service.events.items.pushed import PushedItems
from service.events.items.schema import ItemProblem, ItemSchema, schema_as_named, schema_of
from service.settings import CatalogSettings


@contextmanager
def open_item_push(
    settings: CatalogSettings, dataset_arn: str, data_dir: Path, columns: str
) -> Iterator["ItemPushing"]:
    """A run of `catalog push`.

    Raises:
        BatchError: DATA_DIR cannot be written.
    """
    pushed = PushedItems(data_dir, dataset_arn)
    try:
        yield ItemPushing(settings, dataset_arn, data_dir, columns, pushed)
    finally:
        pushed.close()


class ItemPushing:
    """Reads the catalogue, and puts what has changed."""

    def __init__(
        self, settings: CatalogSettings, dataset_arn: str, data_dir: Path, columns: str, pushed: PushedItems
    ) -> None:
        self._settings = settings
        self._dataset_arn = dataset_arn
        self._data_dir = data_dir
        self._columns = columns
        self._pushed = pushed

    async def compare(self, *, anew: bool) -> PushReport:
        """What has to be put.

        Raises:
            ConfigurationError: The catalogue or the dataset's schema cannot be read, or they do not fit.
        """
        mapping = self._settings.column_mapping
        async with AwsSession() as aws:
            source = open_source(self._settings.catalog_url, aws=aws, column_mapping=mapping, data_dir=self._data_dir)
            try:
                async with source.opened() as content:
                    return await asyncio.to_thread(self._compare, content, source.label, anew=anew)
            finally:
                await source.close()

    def push(self, report: PushReport, on_progress: Callable[[int], None]) -> None:
        """Put it.

        Raises:
            ServiceError: It stopped on the way; the same run goes on later.
        """
        if report.wanted:
            ItemPush(PersonalizeItems(self._dataset_arn), self._pushed, report, on_progress=on_progress).run()

    def _compare(self, content: SourceContent, label: str, *, anew: bool) -> PushReport:
        columns, _, _ = read_items(
            content.stream, self._pushed, label=label, column_mapping=self._settings.column_mapping
        )
        names = [*ITEM_COLUMNS, *columns.further]
        if self._columns:
            schema = schema_as_named(self._columns, names)
        else:
            schema = schema_of(dataset_schema(self._dataset_arn), names)
        report = PushReport()
        for item_id, record in self._pushed.records():
            self._compare_item(report, schema, item_id, _values(record, columns.further), anew=anew)
        report.gone = self._pushed.gone()
        return report

    def _compare_item(
        self, report: PushReport, schema: ItemSchema, item_id: str, values: dict[str, Any], *, anew: bool
    ) -> None:
        try:
            properties = schema.properties(values)
        except ItemProblem as problem:
            report.refuse(item_id, str(problem))
            return
        is_new = self._pushed.is_new(item_id)
        if not self._pushed.want(item_id, properties, anew=anew):
            report.unchanged += 1
        elif is_new:
            report.new += 1
        else:
            report.changed += 1


def _values(record: bytes, further: tuple[str, ...]) -> dict[str, Any]:
    item, _, extras = record.partition(b"\n")
    values: dict[str, Any] = orjson.loads(item)
    values.update(zip(further, orjson.loads(extras), strict=False))
    return values
