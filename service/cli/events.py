"""`personalize-connect events`."""

import asyncio
import datetime as dt
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import click

from service.cli.display import TerminalDisplay, TerminalTrack
from service.clock import SystemClock
from service.errors import ConfigurationError
from service.events.load import SEND_SECONDS, EventLoad, EventLoadReport, LoadTerms
from service.events.ports import Backlog, EventStore
from service.events.reading import SUFFIXES, EventFiles
from service.files.adapters.find import find
from service.files.stored import StoredFile
from service.logs import configure_logging
from service.settings import Settings, load_settings
from service.wiring.events import open_event_loading, open_event_store

EXIT_REJECTED: Final = 3
"""Everything was read, and something in it was no event."""

_DAYS: Final = re.compile(r"([0-9]{1,5})d?")

_Result = TypeVar("_Result")


@click.group("events")
def command() -> None:
    """Look after the events that wait for Amazon Personalize.

    The environment and .env configure it as they do `serve`: events are in REDIS_URL, or in DATA_DIR without one.
    """


def _days(_: click.Context, __: click.Parameter, value: str) -> float:
    match = _DAYS.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter(f"{value} is not a number of days, such as 14d")
    return int(match[1]) * 86_400.0


@command.command("load")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--event-type", default="", show_default=False, help="Of a table without the column EVENT_TYPE.")
@click.option(
    "--send-newer-than",
    "send_seconds",
    default=f"{SEND_SECONDS / 86_400:.0f}d",
    callback=_days,
    help="Older events are known here and not sent on to Personalize; 0d sends none.",
)
@click.option("--again", is_flag=True, help="Read files that were read before, too.")
def load_command(urls: tuple[str, ...], event_type: str, send_seconds: float, *, again: bool) -> None:
    """Take in the events of files, as POST /events and POST /events/braze do.

    URL is a file, a folder or a pattern, or s3:// with a bucket and a prefix. The content says what a file is: JSON
    Lines of PutEvents' or of Braze's events, Avro of Braze's Currents (with the extra `currents`), or a table of
    interactions with USER_ID, ITEM_ID, TIMESTAMP and EVENT_TYPE; plain, gzip or zip.

    What was read is remembered: a second run reads only what is new, and one that was interrupted goes on.

    Exit status 0: all of it was read. 1: it stopped on the way. 2: nothing could be done, or a file cannot be read.
    3: all of it was read, and some of it was no event.
    """
    configure_logging("warning", "text")
    settings = load_settings()
    files, passed_over = find(urls, error=ConfigurationError, suffixes=SUFFIXES)
    if passed_over:
        click.echo(f"{passed_over:,} files are left out for their names")
    sys.exit(asyncio.run(_load(settings, files, event_type, LoadTerms(send_seconds=send_seconds, anew=again))))


async def _load(settings: Settings, files: Sequence[StoredFile], event_type: str, terms: LoadTerms) -> int:
    display = TerminalDisplay()
    began = time.monotonic()
    async with open_event_loading(settings) as opened:
        with display.track("events", "files", len(files)) as track:
            load = EventLoad(
                EventFiles(opened.terms, event_type=event_type, now=time.time()),
                intake=opened.intake,
                notes=opened.notes,
                clock=SystemClock(),
                terms=terms,
                on_progress=_Progress(display, track, len(files)).show,
            )
            work = asyncio.create_task(load.run(files))
            stopped_by: list[int] = []

            def stop(number: int) -> None:
                stopped_by.append(number)
                work.cancel()

            for one in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(one, stop, one)
            try:
                await work
            except asyncio.CancelledError:
                display.say("stopped; the same command goes on from here")
                return 128 + stopped_by[0]
            finally:
                for line in _summary(load.report, time.monotonic() - began, sends=settings.personalize_tracking_id):
                    click.echo(line)
    return EXIT_REJECTED if load.report.rejected else 0


class _Progress:
    def __init__(self, display: TerminalDisplay, track: TerminalTrack, files: int) -> None:
        self._display = display
        self._track = track
        self._files = files

    def show(self, report: EventLoadReport, number: int) -> None:
        """Say how far it is."""
        note = f"{report.accepted:,} new"
        self._track.reach(number, note)
        self._display.mention(lambda: f"events: file {number + 1:,} of {self._files:,}, {note}")


def _summary(report: EventLoadReport, seconds: float, *, sends: str | None) -> list[str]:
    before = f", {report.files_before:,} were read before" if report.files_before else ""
    lines = [f"{report.files:,} files read in {seconds:.0f} s{before}"]
    if report.records_before:
        lines.append(f"{report.records_before:,} lines or records were read by an earlier run")
    old = ""
    if report.known_only and sends:
        old = f"; {report.known_only:,} of them are too old to be sent on to Personalize"
    lines.append(f"{report.accepted:,} accepted{old}")
    lines += [
        f"{count:,} {what}"
        for count, what in (
            (report.duplicate, "duplicate: taken in before"),
            (report.ignored, "ignored: of no interest, or a bot's"),
            (report.rejected, "rejected: no events"),
        )
        if count
    ]
    return lines + report.problems


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
