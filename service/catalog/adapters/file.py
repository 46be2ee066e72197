"""The catalogue in a file."""

import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.catalog.ports import ItemCatalog, SourceContent
from service.catalog.reading.build import build
from service.catalog.reading.digests import digest_patiently
from service.catalog.reading.formats import readable_errors
from service.catalog.reading.kept_files import Content
from service.catalog.reading.patience import LOOK_SECONDS, patiently
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError


class FileSource:
    """A file; its version is a hash of its content, which is read again when its times, size or inode have changed."""

    def __init__(self, url: str, recipe: Recipe) -> None:
        """Take the file's name.

        Raises:
            CatalogError: The URL names no file.
        """
        self._path = catalog_path(url)
        self._recipe = recipe
        self.label = str(self._path)
        self.loaded_version = ""
        self._seen = ("", "")
        """What the file system said of the file that was read last, and the hash of its content."""

    async def version(self) -> str:
        """Changes when the content does; a file that was only touched keeps its version."""
        with readable_errors(self.label):
            status = await patiently(self._path.stat, seconds=LOOK_SECONDS)
        if _times_of(status) != self._seen[0]:
            async with self.opened():
                pass
        return self._seen[1]

    async def load(self, version: int, known: Sequence[str] = ()) -> ItemCatalog:
        """A new snapshot of the file."""
        async with self.opened() as content:
            descriptor = content.stream.fileno()
            # From before its hash was taken, so that the hash is that of what is read.
            before = self._seen[0]

            def check() -> None:
                if not before.startswith(f"{_content_of(os.fstat(descriptor))}-"):
                    raise CatalogError(
                        f"{self.label}: was written to while it was read; write another file and rename it"
                    )

            catalog = await build(
                content.stream,
                label=self.label,
                recipe=self._recipe,
                version=version,
                content=Content(content.version, check=check),
                known=known,
                background=bool(self.loaded_version),
            )
        self.loaded_version = content.version
        return catalog

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SourceContent]:
        """See `CatalogSource.opened`."""
        with readable_errors(self.label):
            descriptor = await patiently(self._open, seconds=LOOK_SECONDS, on_late=os.close)
        with os.fdopen(descriptor, "rb") as stream:
            times = _times_of(os.fstat(descriptor))
            if times != self._seen[0]:
                self._seen = (times, await digest_patiently(stream, self.label))
            yield SourceContent(stream, self._seen[1])

    def _open(self) -> int:
        # Without waiting for the other end of a pipe.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_regular(os.fstat(descriptor), self.label)
        except CatalogError:
            os.close(descriptor)
            raise
        os.set_blocking(descriptor, True)  # its only parameter
        return descriptor

    async def close(self) -> None:
        """Nothing to close."""


def _check_regular(status: os.stat_result, label: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CatalogError(f"{label}: cannot be read: Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise CatalogError(f"{label}: is a pipe or a device; a catalogue must be a file, which can be read twice")


def _times_of(status: os.stat_result) -> str:
    # Copying or unpacking a file may set its mtime to what it was; nothing sets its ctime.
    return f"{_content_of(status)}-{status.st_ctime_ns}"


def _content_of(status: os.stat_result) -> str:
    """What an open file says of its content. Its ctime does not: it changes when the name is taken away, too."""
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def catalog_path(url: str) -> Path:
    """The file that a ``file:`` URL names.

    ``file:///srv/items.csv`` is absolute; ``file:sample/items.csv`` and ``file://./sample/items.csv`` begin
    at the working directory. Escapes such as ``%20`` are resolved.

    Raises:
        CatalogError: It is no such URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CatalogError(f"CATALOG_URL {url}: {error}") from error
    if parts.scheme != "file":
        raise CatalogError(f"CATALOG_URL {url}: not a file: URL")
    if parts.netloc not in ("", ".", "..", "localhost"):
        raise CatalogError(
            f"CATALOG_URL {url}: file:// is followed by a host; write file:///{parts.netloc}{parts.path} for"
            f" an absolute path or file:{parts.netloc}{parts.path} for a relative one"
        )
    # "#" and "?" are ordinary characters of file names.
    tail = url.strip().split(":", 1)[1].removeprefix("//")
    return Path(unquote(tail.removeprefix(parts.netloc) if parts.netloc == "localhost" else tail))
