"""The catalogue in an object in S3."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import IO, Any, Final, cast
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig

from service.aws.client import AwsClient
from service.aws.errors import readable_sdk_errors
from service.aws.session import AwsSession
from service.catalog.ports import ItemCatalog, SourceContent
from service.catalog.reading.build import build
from service.catalog.reading.data_dir import prepare
from service.catalog.reading.digests import digest_patiently
from service.catalog.reading.kept_files import Content, KeptFiles, opened_safely, sweep
from service.catalog.reading.lines import READ_BYTES
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError

MAX_COPY_SECONDS: Final = 900.0
"""Seconds for a whole object. Each read has its own deadline besides, but bytes that trickle always meet that one."""

_CONFIG: Final = {"connect_timeout": 5, "read_timeout": 30, "retries": {"mode": "standard"}}


class S3Source:
    """An object in S3; its version is its ETag.

    It is copied into a file without a name before it is read, so that a slow reader does not hold the
    connection.
    """

    def __init__(self, url: str, recipe: Recipe, aws: AwsSession) -> None:
        """Take the object's bucket and key.

        Raises:
            CatalogError: The URL names none.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise CatalogError(f"CATALOG_URL {url}: {error}") from error
        self._bucket = parts.netloc
        # "#" and "?" are ordinary characters of keys.
        self._key = url.split("://", 1)[-1].removeprefix(self._bucket).removeprefix("/")
        if not self._bucket or not self._key or "://" not in url:
            raise CatalogError(f"CATALOG_URL {url}: must be s3://bucket/key")
        self.label = url
        self._recipe = recipe
        self._client = AwsClient(aws, "s3", AioConfig(**_CONFIG))
        self.loaded_version = ""

    async def version(self) -> str:
        """The object's ETag."""
        with readable_sdk_errors(self.label, CatalogError):
            client = await self._client.get()
            return str((await client.head_object(Bucket=self._bucket, Key=self._key))["ETag"])

    async def load(self, version: int, known: Sequence[str] = ()) -> ItemCatalog:
        """A new snapshot of the object; it is not fetched where a file of the same version is kept."""
        kept = KeptFiles(self._recipe, self.label)
        # Later a new version is never one that is kept.
        if not self.loaded_version and await asyncio.to_thread(kept.are_there):
            etag = await self.version()
            catalog = await opened_safely(lambda: kept.find(source=self._named(etag), version=version, known=known))
            if catalog is not None:
                await asyncio.to_thread(sweep, self._recipe.data_dir)
                self.loaded_version = etag
                return catalog
        async with self.opened() as content:
            digest = await digest_patiently(content.stream, self.label)
            source = self._named(content.version)
            await asyncio.to_thread(kept.rename, digest, source)
            built = await build(
                content.stream,
                label=self.label,
                recipe=self._recipe,
                version=version,
                content=Content(digest, source),
                known=known,
                background=bool(self.loaded_version),
            )
        self.loaded_version = content.version
        return built

    def _named(self, etag: str) -> str:
        return f"{self.label} {etag}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SourceContent]:
        """A copy of the object; see `CatalogSource.opened`."""
        await asyncio.to_thread(prepare, self._recipe.data_dir)
        with cast("IO[bytes]", tempfile.TemporaryFile(dir=self._recipe.data_dir)) as stream:
            with readable_sdk_errors(self.label, CatalogError):
                async with asyncio.timeout(MAX_COPY_SECONDS):
                    version = await self._copy(stream.fileno())
            yield SourceContent(stream, version)

    async def _copy(self, descriptor: int) -> str:
        client = await self._client.get()
        output: dict[str, Any] = await client.get_object(Bucket=self._bucket, Key=self._key)
        async with output["Body"] as body:
            self._check_encoding(output.get("ContentEncoding", ""))
            while chunk := await body.read(READ_BYTES):
                try:
                    await _written(descriptor, chunk)
                except OSError as error:
                    where = self._recipe.data_dir
                    raise CatalogError(f"DATA_DIR {where}: cannot be written: {error.strerror}") from error
        return str(output["ETag"])

    def _check_encoding(self, stored: str) -> None:
        """Refuse a packing that the content does not show.

        Raises:
            CatalogError: It is Brotli.
        """
        if "br" in stored.replace(",", " ").split():
            raise CatalogError(f"{self.label}: its Content-Encoding is br (Brotli); store it with gzip or as it is")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _written(descriptor: int, chunk: bytes) -> None:
    writing = asyncio.ensure_future(asyncio.to_thread(_write, descriptor, chunk))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # A thread cannot be cancelled, and another file may get the descriptor's number as soon as this one is closed.
        await asyncio.gather(writing, return_exceptions=True)
        raise


def _write(descriptor: int, chunk: bytes) -> None:
    # Without a buffer: it would try again, and fail, to write what does not fit on the disk when it is closed.
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
