"""Which files a batch's addresses name."""

from collections.abc import Sequence

from service.batch.adapters.local_files import find_local
from service.batch.adapters.s3_files import find_in_s3
from service.batch.files import SUFFIXES, BatchFile
from service.errors import BatchError


def find(urls: Sequence[str]) -> tuple[list[BatchFile], int]:
    """The files that these name, each once and in a fixed order, and how many were passed over for their names.

    Args:
        urls: A path or `file://` address of a file, a directory or a pattern; or `s3://bucket/` and a key or the
            beginning of keys. In a directory or below a prefix, files that end in `SUFFIXES` are taken.

    Raises:
        BatchError: One of them names no file, or cannot be looked at.
    """
    found: dict[str, BatchFile] = {}
    passed_over = 0
    for url in urls:
        files, others = find_in_s3(url) if url.lower().startswith("s3://") else find_local(url)
        if not files:
            hint = f" ({others} of other names; {', '.join(SUFFIXES)} are read)" if others else ""
            raise BatchError(f"{url}: no file there{hint}")
        found.update((file.url, file) for file in files)
        passed_over += others
    return [found[url] for url in sorted(found)], passed_over
