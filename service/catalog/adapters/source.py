"""The catalogue's sources: a file, an object in S3, a table in DynamoDB."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig

from service.aws.errors import AwsClient, readable_sdk_errors
from service.catalog.adapters.dynamodb import DynamoDbSource
from service.catalog.adapters.memory import MemoryCatalog, catalog_path
from service.catalog.adapters.sqlite import SqliteCatalog
from service.catalog.ports import ItemCatalog
from service.catalog.reading.build import Recipe, build, prepare
from service.catalog.reading.rows import SUFFIXES, parsed_exclusion, readable_errors
from service.errors import CatalogError

_CHUNK_BYTES: Final = 1 << 20

_COPY_SECONDS: Final = 900.0
"""For a whole object; each read has its own deadline besides, but bytes that trickle meet that one for ever."""

_S3_CONFIG: Final = {"connect_timeout": 5, "read_timeout": 30, "retries": {"mode": "standard"}}


class Source(Protocol):
    """Where catalogues come from."""

    @property
    def loaded_version(self) -> str:
        """What `version` would have said of the content that was loaded last; empty before the first."""

    async def version(self) -> str:
        """Changes whenever the content does.

        Raises:
            CatalogError: The source cannot be looked at.
        """

    async def load(self, version: int) -> ItemCatalog:
        """A new snapshot with this version; it gives back what it has open when nobody holds it any more.

        Raises:
            CatalogError: There is nothing usable, or the exclusion does not fit its columns.
        """

    async def close(self) -> None:
        """Close connections; snapshots are of no use afterwards."""


class StoredSource(Source, Protocol):
    """A source that is a file somewhere."""

    name: str
    """Its end tells the format."""

    label: str
    """Names it in errors and logs."""

    def opened(self) -> AbstractAsyncContextManager[tuple[IO[bytes], str]]:
        """The content as it is stored, able to seek, and its version."""


def open_source(
    url: str,
    *,
    column_mapping: Mapping[str, str],
    exclusion_filter: str | None = None,
    data_dir: Path,
    monotonic: Callable[[], float] = time.monotonic,
) -> Source:
    """What `CATALOG_URL` names; nothing is read yet.

    Args:
        url: ``file:``, ``s3://bucket/key`` or ``dynamodb://table``.
        column_mapping: Our name to the source's, for those that are called otherwise.
        exclusion_filter: The operator's filter. One with placeholders makes no item ineligible: it depends
            on the request.
        data_dir: Where large catalogues are kept, in files without a name.
        monotonic: Tells the age of items that are fetched one by one.

    Raises:
        CatalogError: It names no source, or the filter is none.
    """
    if exclusion_filter:
        parsed_exclusion(exclusion_filter)
    recipe = Recipe(column_mapping, exclusion_filter, data_dir)
    scheme = url.partition(":")[0].lower()
    if scheme == "s3":
        return S3Source(url, recipe)
    if scheme == "dynamodb":
        return DynamoDbSource(url, recipe, monotonic=monotonic)
    return FileSource(url, recipe)


class FileSource:
    """A file; its version is its times of change, size and inode."""

    def __init__(self, url: str, recipe: Recipe) -> None:
        self._path = catalog_path(url)
        self._recipe = recipe
        self.name = self._path.name
        self.label = str(self._path)
        self.loaded_version = ""

    async def version(self) -> str:
        """Changes when the file is replaced or written to."""
        with readable_errors(self.label):
            return _version_of(await asyncio.to_thread(self._path.stat))

    async def load(self, version: int) -> MemoryCatalog | SqliteCatalog:
        """A new snapshot of the file."""
        async with self.opened() as (stream, found):
            began = _content_of(os.fstat(stream.fileno()))
            catalog = await build(
                stream,
                self.name,
                label=self.label,
                recipe=self._recipe,
                version=version,
                background=bool(self.loaded_version),
            )
            if _content_of(os.fstat(stream.fileno())) != began:
                catalog.close()
                raise CatalogError(f"{self.label}: was written to while it was read; write another file and rename it")
        self.loaded_version = found
        return catalog

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[IO[bytes], str]]:
        """The file and its version."""
        with readable_errors(self.label):
            stream = await asyncio.to_thread(self._path.open, "rb")
        with stream:
            yield stream, _version_of(os.fstat(stream.fileno()))

    async def close(self) -> None:
        """Nothing to close."""


def _version_of(status: os.stat_result) -> str:
    # Who copies or unpacks a file may set its mtime to what it was; nobody sets its ctime.
    return f"{_content_of(status)}-{status.st_ctime_ns}"


def _content_of(status: os.stat_result) -> str:
    """As far as can be told from an open file, whose ctime changes too when its name is taken away."""
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


class S3Source:
    """An object in S3; its version is its ETag.

    It is copied into a file without a name before it is read, so that a slow reader does not hold the
    connection.
    """

    def __init__(self, url: str, recipe: Recipe) -> None:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise CatalogError(f"CATALOG_URL {url}: {error}") from error
        self._bucket = parts.netloc
        # "#" and "?" are ordinary characters of keys.
        self._key = url.split("://", 1)[-1].removeprefix(self._bucket).removeprefix("/")
        if not self._bucket or not self._key or "://" not in url:
            raise CatalogError(f"CATALOG_URL {url}: must be s3://bucket/key")
        if not self._key.endswith(SUFFIXES):
            raise CatalogError(f"CATALOG_URL {url}: must end in {', '.join(SUFFIXES)}")
        self.name = self._key.rpartition("/")[2]
        self.label = url
        self._recipe = recipe
        self._client = AwsClient("s3", AioConfig(**_S3_CONFIG))
        self.loaded_version = ""

    async def version(self) -> str:
        """The object's ETag."""
        with readable_sdk_errors(self.label):
            client = await self._client.get()
            return str((await client.head_object(Bucket=self._bucket, Key=self._key))["ETag"])

    async def load(self, version: int) -> MemoryCatalog | SqliteCatalog:
        """A new snapshot of the object."""
        async with self.opened() as (stream, found):
            catalog = await build(
                stream,
                self.name,
                label=self.label,
                recipe=self._recipe,
                version=version,
                background=bool(self.loaded_version),
            )
        self.loaded_version = found
        return catalog

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[IO[bytes], str]]:
        """A copy of the object and its ETag."""
        await asyncio.to_thread(prepare, self._recipe.data_dir)
        with cast("IO[bytes]", tempfile.TemporaryFile(dir=self._recipe.data_dir)) as stream:
            with readable_sdk_errors(self.label):
                async with asyncio.timeout(_COPY_SECONDS):
                    found = await self._copy(stream.fileno())
            stream.seek(0)
            yield stream, found

    async def _copy(self, descriptor: int) -> str:
        client = await self._client.get()
        output: dict[str, Any] = await client.get_object(Bucket=self._bucket, Key=self._key)
        async with output["Body"] as body:
            while chunk := await body.read(_CHUNK_BYTES):
                try:
                    await _written(descriptor, chunk)
                except OSError as error:
                    where = self._recipe.data_dir
                    raise CatalogError(f"DATA_DIR {where}: cannot be written: {error.strerror}") from error
        return str(output["ETag"])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _written(descriptor: int, chunk: bytes) -> None:
    writing = asyncio.ensure_future(asyncio.to_thread(_write, descriptor, chunk))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # A thread cannot be cancelled, and the descriptor's number is somebody else's as soon as the file is closed.
        await asyncio.gather(writing, return_exceptions=True)
        raise


def _write(descriptor: int, chunk: bytes) -> None:
    # Nothing stays in a buffer: what does not fit on the disk would be tried again, and fail, where it is closed.
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
