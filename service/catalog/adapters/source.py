"""Which source a catalogue's URL names."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from service.aws.session import AwsSession
from service.catalog.adapters.file import FileSource
from service.catalog.ports import CatalogSource
from service.catalog.reading.exclusion import parsed_exclusion
from service.catalog.reading.recipe import Recipe


def open_source(
    url: str,
    *,
    aws: AwsSession,
    column_mapping: Mapping[str, str],
    exclusion_filter: str | None = None,
    data_dir: Path,
    catalog_file: Path | None = None,
    always_file: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
) -> CatalogSource:
    """What `CATALOG_URL` names; nothing is read yet.

    Args:
        url: ``file:``, ``s3://bucket/key`` or ``dynamodb://table``.
        aws: What S3 and DynamoDB are asked through; not used for a file.
        column_mapping: Our name to what stands for it, as in `CATALOG_COLUMNS`.
        exclusion_filter: The operator's filter. One with placeholders makes no item ineligible: it depends
            on the request.
        data_dir: Where large catalogues are kept.
        catalog_file: One that `build_catalog_file` wrote, to be used while the source holds the same.
        always_file: Whether a small catalogue becomes a file, too.
        monotonic: The clock by which items that are fetched one by one grow old.

    Raises:
        CatalogError: It names no source, or the filter is none.
    """
    if exclusion_filter:
        parsed_exclusion(exclusion_filter)
    recipe = Recipe(column_mapping, exclusion_filter, data_dir, catalog_file, always_file)
    scheme = url.partition(":")[0].lower()
    if scheme == "s3":
        # Nothing of a source is imported that is not asked for.
        from service.catalog.adapters.s3 import S3Source  # noqa: PLC0415  # as said

        return S3Source(url, recipe, aws)
    if scheme == "dynamodb":
        from service.catalog.adapters.dynamodb_source import DynamoDbSource  # noqa: PLC0415  # as said

        return DynamoDbSource(url, recipe, aws, monotonic=monotonic)
    return FileSource(url, recipe)
