"""Builds the console; imported only where there is one."""

from ipaddress import ip_address

import structlog

from service.clock import Clock
from service.console.access import Reception
from service.console.console import Console, install_console
from service.console.pages import PATH, Pages
from service.console.room import ROUTERS
from service.console.spare import SpareSlots
from service.settings import Settings
from service.settings.key_files import secret

__all__ = ["ROUTERS", "build_console", "install_console"]

_log = structlog.stdlib.get_logger(__name__)


def build_console(settings: Settings, clock: Clock) -> Console:
    """The console of an application with these settings."""
    if settings.console_access == "open" and not is_loopback(settings.host):
        _log.warning(
            "console_open",
            host=settings.host,
            problem="everybody who reaches this address sees the console, and can block items and forget users",
            remedy="set CONSOLE_ACCESS=keyed and ADMIN_KEYS, or HOST=127.0.0.1",
        )
    return Console(
        pages=Pages(settings.root_path),
        reception=Reception(
            access=settings.console_access,
            secret=secret(settings.console_secret),
            admin_keys=settings.admin_key_list,
            path=f"{settings.root_path}{PATH}",
            clock=clock,
        ),
        spare=SpareSlots(clock),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
