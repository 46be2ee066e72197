"""Packages that a library would load if they are there, for what nobody here asks of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Let imports within the block find none of these packages, unless one is loaded already.

    What is loaded within the block does without them for good; later imports find them.
    """
    hidden = [name for name in names if name not in sys.modules]
    # Python's own way to say that there is no such module.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is what it takes for that
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
