"""The hash of a source's content, by which a catalogue that was made of it is found again."""

import os
from hashlib import sha256
from typing import IO

from service.catalog.reading.formats import readable_errors
from service.catalog.reading.lines import READ_BYTES
from service.catalog.reading.patience import WatchedFile, patiently


async def digest_patiently(stream: IO[bytes], label: str) -> str:
    """The hash of all bytes of an open file, whose position is at its end afterwards.

    Args:
        stream: An open file that can seek; it stays open.
        label: Names it in errors.

    Raises:
        CatalogError: It cannot be read to its end.
    """
    # A thread cannot be cancelled: it reads through a descriptor of its own.
    watched = WatchedFile(os.dup(stream.fileno()))

    def read() -> str:
        digest = sha256()
        with watched:
            watched.seek(0)
            while chunk := watched.read(READ_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    with readable_errors(label):
        return await patiently(read, watched=watched)
