"""What only the console keeps, and where its routes find it."""

from dataclasses import dataclass

from fastapi import FastAPI, Request

from service.braze.preview import Previews
from service.console.access import Reception
from service.console.pages import Pages
from service.console.send_tools import SendTools
from service.console.spare import SpareSlots


@dataclass(frozen=True, slots=True)
class Console:
    """Of one application."""

    pages: Pages
    reception: Reception
    spare: SpareSlots
    previews: Previews
    sends: SendTools


def install_console(app: FastAPI, console: Console) -> None:
    """Put it where the routes find it."""
    app.state.console = console


def console_of(request: Request) -> Console:
    """The console of the application that has got this request."""
    console: Console = request.app.state.console
    return console
