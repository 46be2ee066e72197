"""What only the console keeps, and where its routes find it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from fastapi import FastAPI, Request

from service.braze.preview import Previews
from service.clock import Clock
from service.console.access import Reception
from service.console.history import History
from service.console.pages import Pages
from service.console.send_tools import SendTools
from service.console.spare import SpareSlots
from service.telemetry import Telemetry


class ShownSetting(NamedTuple):
    """A setting as people may see it."""

    name: str
    value: str
    """Stars for a secret, and for the password of an address; empty for none."""
    is_default: bool


@dataclass(slots=True)
class Console:
    """Of one application."""

    pages: Pages
    reception: Reception
    spare: SpareSlots
    previews: Previews
    sends: SendTools
    settings: Sequence[ShownSetting] = ()
    search_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One search of items at a time."""
    _history: History | None = None

    @property
    def history(self) -> History:
        """What was counted over the last hour.

        Raises:
            RuntimeError: Asked before readiness; a fault of ours.
        """
        if self._history is None:
            raise RuntimeError("no request is routed before readiness")
        return self._history

    @asynccontextmanager
    async def opened(self, telemetry: Telemetry, clock: Clock) -> AsyncIterator[None]:
        """Look at the counters for as long as the block lasts."""
        self._history = History(telemetry, clock)
        async with self._history.kept():
            yield


def install_console(app: FastAPI, console: Console) -> None:
    """Put it where the routes find it."""
    app.state.console = console


def console_of(request: Request) -> Console:
    """The console of the application that has got this request."""
    console: Console = request.app.state.console
    return console
