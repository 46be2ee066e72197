"""Names of a host that no stranger's page can have: the guard of what this machine shows without a key.

A page on the internet may let its own name lead to 127.0.0.1 once it is loaded (DNS rebinding). Its browser then takes
this machine for that page's server, so the page reads and sends what it likes. What it cannot change is the name that
its browser sends along.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

LOOPBACK_NAME: Final = "localhost"
"""Browsers ask no name server for it, nor for a name that ends with it."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == LOOPBACK_NAME


def is_own(written: str, names: Collection[str] = ()) -> bool:
    """Whether a value of `Host` names this machine: by an address, as localhost, or by one of these names.

    An address is no name, so no name server can let it lead elsewhere.
    """
    return _is_own(_name_in(f"//{written}"), names)


def is_near(written: str, names: Collection[str] = ()) -> bool:
    """The same; or it has no dot, as the names of containers: on the internet nobody owns such a name."""
    return "." not in written.rstrip(".") or is_own(written, names)


def is_from_own(origin: str, names: Collection[str] = ()) -> bool:
    """Whether a value of `Origin` is of such a page; empty is no page at all."""
    return not origin or _is_own(_name_in(origin), names)


def _is_own(name: str, names: Collection[str]) -> bool:
    if not name:
        return False
    try:
        ip_address(name)
    except ValueError:
        return name == LOOPBACK_NAME or name.endswith(f".{LOOPBACK_NAME}") or name in names
    return True


def _name_in(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").removesuffix(".")
    except ValueError:
        return ""
