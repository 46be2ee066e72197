"""The catalogue as one file, made before the processes that use it: for pods and images without a volume."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.reading.kept_files import kept_in
from service.errors import CatalogError

_FILE_MODE: Final = 0o644
"""Who builds an image is not who runs it, and a catalogue is no secret."""


async def build_catalog_file(
    url: str, out: Path, *, column_mapping: Mapping[str, str], exclusion_filter: str | None
) -> int:
    """Write the catalogue of a source into a file; one that is there and up to date stays.

    The file appears whole or not at all.

    Args:
        url: As in `CATALOG_URL`; no table.
        out: The file; its folder is made.
        column_mapping: As in `CATALOG_COLUMNS`.
        exclusion_filter: As in `EXCLUSION_FILTER`.

    Returns:
        Its items.

    Raises:
        CatalogError: The source cannot be read, or the file cannot be written.
    """
    if url.lower().startswith("dynamodb:"):
        raise CatalogError(f"CATALOG_URL {url}: nothing of a table is kept in a file; its items are fetched one by one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".catalog-build-") as folder:
            items = await _built(url, out, Path(folder), column_mapping, exclusion_filter)
            for path in kept_in(Path(folder)):
                path.chmod(_FILE_MODE)
                path.replace(out)
    except OSError as error:
        raise CatalogError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    return items


async def _built(
    url: str, out: Path, folder: Path, column_mapping: Mapping[str, str], exclusion_filter: str | None
) -> int:
    is_there = await asyncio.to_thread(out.exists)
    async with AwsSession() as aws:
        source = open_source(
            url,
            aws=aws,
            column_mapping=column_mapping,
            exclusion_filter=exclusion_filter,
            data_dir=folder,
            catalog_file=out if is_there else None,
            always_file=True,
        )
        try:
            catalog = await source.load(1)
        finally:
            await source.close()
    items = len(catalog)
    catalog.close()
    return items
