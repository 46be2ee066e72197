"""Which files a batch's addresses name."""

from collections.abc import Sequence

from service.batch.files import SUFFIXES
from service.errors import BatchError
from service.files.adapters import find as files
from service.files.stored import StoredFile


def find(urls: Sequence[str]) -> tuple[list[StoredFile], int]:
    """The files of a batch, and how many were passed over for their names; see `service.files.adapters.find`.

    Raises:
        BatchError: An address names no file, or cannot be looked at.
    """
    return files.find(urls, error=BatchError, suffixes=SUFFIXES)
