"""`personalize-connect events`."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from service.events.ports import Backlog, EventStore
from service.logs import configure_logging
from service.settings import load_settings
from service.wiring.events import open_event_store

_Result = TypeVar("_Result")


@click.group("events")
def command() -> None:
    """Look after the events that wait for Amazon Personalize.

    The environment and .env configure it as they do `serve`: events are in REDIS_URL, or in DATA_DIR without one.
    """


@command.command("status")
def status_command() -> None:
    """Say how many events wait, since when, and how many were put aside."""
    backlog: Backlog = _with_store(lambda store: store.backlog())
    since = ""
    if backlog.oldest_at is not None:
        since = f", the oldest since {dt.datetime.fromtimestamp(backlog.oldest_at, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"{backlog.waiting:,} events wait{since}")
    click.echo(f"{backlog.aside:,} were put aside: Personalize refused them")


@command.command("retry")
def retry_command() -> None:
    """Let the events that were put aside wait again."""
    click.echo(f"{_with_store(lambda store: store.retry()):,} events wait again")


def _with_store(ask: Callable[[EventStore], Awaitable[_Result]]) -> _Result:
    configure_logging("warning", "text")

    async def asked() -> _Result:
        async with open_event_store(load_settings()) as store:
            return await ask(store)

    return asyncio.run(asked())
