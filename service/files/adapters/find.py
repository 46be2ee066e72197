"""Which files addresses name."""

from collections.abc import Callable, Sequence

from service.files.adapters.local import find_local
from service.files.stored import StoredFile


def find(
    urls: Sequence[str], *, error: Callable[[str], Exception], suffixes: tuple[str, ...] | None = None
) -> tuple[list[StoredFile], int]:
    """The files that these name, each once and in a fixed order, and how many were passed over for their names.

    Args:
        urls: A path or `file://` address of a file, a directory or a pattern; or `s3://bucket/` and a key, the
            beginning of keys, or a pattern.
        error: Makes the error of a line for the operator.
        suffixes: In a directory or below a prefix, files that end so are taken; None takes all that are not hidden. A
            directory is searched with the directories in it.

    Raises:
        Exception: What `error` makes: one of them names no file, or cannot be looked at.
    """
    found: dict[str, StoredFile] = {}
    passed_over = 0
    for url in urls:
        if url.lower().startswith("s3://"):
            # The SDK takes a third of a second to import.
            from service.files.adapters.s3 import find_in_s3  # noqa: PLC0415

            files, others = find_in_s3(url, error, suffixes)
        else:
            files, others = find_local(url, error, suffixes)
        if not files:
            hint = f" ({others} of other names; {', '.join(suffixes)} are read)" if others and suffixes else ""
            raise error(f"{url}: no file there{hint}")
        found.update((file.url, file) for file in files)
        passed_over += others
    return [found[url] for url in sorted(found)], passed_over
