"""What libraries would load or make as they are imported, for what nobody here asks of them."""

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_READ_CERTIFICATES: Final = "set_default_verify_paths"


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


@contextmanager
def without_certificates() -> Iterator[None]:
    """Let TLS contexts that are made within the block trust nobody; later ones trust whom they should.

    aiohttp makes two as it is imported, for sessions that bring none, and reads the system's certificates for both. The
    SDK brings its own. A session without one fails to connect, which shows at once.
    """
    # The class inherits the method. What is put here hides it until it is taken away.
    setattr(ssl.SSLContext, _READ_CERTIFICATES, lambda _: None)
    try:
        yield
    finally:
        delattr(ssl.SSLContext, _READ_CERTIFICATES)
