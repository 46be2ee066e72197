"""`personalize-connect rehearse`."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import orjson

from service.cli.display import TerminalDisplay
from service.cli.group import EXIT_FAILED
from service.cli.liquid import CHANNELS, FILE, FOLDER, check_service, credentials, job_for
from service.cli.options import Number
from service.cli.prewarm import named_files
from service.errors import MissingPackage, ServiceError
from service.sends.users.files import UsersFiles
from service.sends.users.findings import Findings, UsersFileError

try:
    from service.braze.adapters.pooled import PooledService
    from service.braze.blocks import read_blocks
    from service.braze.rehearsal.outcome import Outcome
    from service.braze.rehearsal.ports import Played
    from service.braze.rehearsal.report import as_json, as_text
    from service.braze.rehearsal.schedule import Schedule
    from service.braze.rehearsal.send import Send, SendTerms
    from service.braze.rehearsal.sheet import sheet
    from service.braze.renderers import Renderers
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"liquid", "dateutil"}:
        raise
    raise MissingPackage("python-liquid", "liquid") from error

DEFAULT_PEAK: Final = 2.4
"""Braze keeps its rate by the minute. Bursts of 2.4 times the average were seen."""

MAX_SAMPLE: Final = 500

MAX_PROCESSES: Final = 4
"""That render; one makes about a thousand messages a second."""


_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Terms:
    templates: tuple[Path, ...]
    users: UsersFiles
    limit: int | None
    per_minute: float
    service: str
    channel: str
    passes: int
    peak: float
    attributes: tuple[str, ...]
    blocks: Mapping[str, str]
    sample_size: int


@click.command("rehearse")
@click.option(
    "--template",
    "templates",
    multiple=True,
    required=True,
    type=FILE,
    help="A part of the message: the mail, or the title, body and image of a push; may be repeated.",
)
@click.option(
    "--users",
    "files",
    multiple=True,
    metavar="FILE",
    help="Who gets it: a file, a folder, a pattern, s3://bucket/prefix, or -; may be repeated.",
)
@click.option("--column", default="", show_default="user_id, else external_id", help="Where the id is.")
@click.option("--limit", type=click.IntRange(1), show_default="all", help="Only the first N users.")
@click.option("--per-minute", required=True, type=Number(1, 1_000_000), help="Messages a minute: Braze's rate limit.")
@click.option(
    "--peak", default=DEFAULT_PEAK, type=Number(1, 60), help="How uneven a minute is: its highest rate by its average."
)
@click.option("--passes", default=2, type=click.IntRange(1, 5), help="How often Braze renders each part, all at once.")
@click.option("--service", default="http://127.0.0.1:8000", help="URL of the service that answers the calls.")
@click.option("--as", "channel", type=click.Choice(CHANNELS), default="email", help="What the messages are.")
@click.option("--attribute", "attributes", multiple=True, help="NAME=VALUE for every user; may be repeated.")
@click.option("--blocks", type=FOLDER, help="Folder of Content Blocks: NAME.liquid or NAME.html.")
@click.option("--sheet", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page of messages here.")
@click.option("--sample", default=24, type=click.IntRange(1, MAX_SAMPLE), help="Messages on the page.")
@click.option(
    "--at-least", default=0.0, type=Number(0, 1), help="Share of messages that must be sent, without a mistake."
)
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object.")
def command(  # its options
    *,
    templates: tuple[Path, ...],
    files: tuple[str, ...],
    column: str,
    limit: int | None,
    per_minute: float,
    peak: float,
    passes: int,
    service: str,
    channel: str,
    attributes: tuple[str, ...],
    blocks: Path | None,
    page: Path | None,
    sample: int,
    at_least: float,
    as_json_: bool,
) -> None:
    """Play a send against a service as Braze would, before Braze does.

    Messages come at Braze's rate, unevenly. Each part is rendered in several passes at once, and each pass calls. An
    answer after 2 seconds is none, `:retry` waits, kept answers and unhealthy hosts are as Braze has them. The calls go
    to --service and nowhere else, whatever host the templates name. They spend its budget as real ones do.

    BASIC_AUTH and API_KEYS, of the environment or .env, stand for the credentials that Braze stores.

    Exit status 0: enough messages are good. 1: fewer than --at-least. 2: a file or an option is wrong.
    """
    check_service(service)
    with ExitStack() as stack:
        terms = _Terms(
            templates,
            UsersFiles(named_files(files, stack), column),
            limit,
            per_minute,
            service,
            channel,
            passes,
            peak,
            attributes,
            read_blocks(blocks) if blocks else {},
            sample,
        )
        try:
            outcome, send, transactions = _run(_play(terms))
        except* ServiceError as errors:
            raise errors.exceptions[0] from None
    if not outcome.messages:
        raise UsersFileError(f"{terms.users.name}: no user in it")
    lines = list(as_text(outcome, send, transactions))
    if as_json_:
        click.echo(orjson.dumps(as_json(outcome, send, transactions), option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo("\n".join(lines))
    if page is not None:
        page.write_text(sheet(outcome.sample, lines[0]), "utf-8")
        click.echo(f"messages to look at: {page}", err=True)
    if outcome.good_share < at_least:
        click.echo(f"rehearse: {outcome.good_share:.2%} is less than --at-least {at_least:.2%}", err=True)
        sys.exit(EXIT_FAILED)


def _run(playing: Coroutine[Any, Any, _Result]) -> _Result:
    """Its result; on the loop that needs the least processor time, where the system has it."""
    if sys.platform == "win32":
        return asyncio.run(playing)
    import uvloop  # noqa: PLC0415  # not on Windows

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(playing)


async def _play(terms: _Terms) -> tuple[Outcome, Send, float | None]:
    """Play the send, with a moving bar."""
    display = TerminalDisplay()
    outcome = Outcome(terms.channel, terms.sample_size, random.Random(0))  # noqa: S311  # a sample, the same each time
    parts = [job_for(file, "", terms.attributes, terms.blocks) for file in terms.templates]
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(PooledService(terms.service, {"*": credentials()}))
        renderer = await stack.enter_async_context(Renderers(min(MAX_PROCESSES, os.cpu_count() or 1)))
        send_terms = SendTerms(parts, terms.passes, Schedule(terms.per_minute, terms.peak))
        send = Send(send_terms, service=service, renderer=renderer, now=time.monotonic)
        before = await service.transactions()
        track = stack.enter_context(display.track("rehearsing", "messages", terms.limit))

        def done(played: Played) -> None:
            outcome.add(played)
            track.advance()
            display.mention(lambda: f"rehearsing: {outcome.messages:,} messages, {outcome.good_share:.1%} good")

        await send.play(_users(terms), done)
        after = await service.transactions()
    return outcome, send, None if before is None or after is None else after - before


def _users(terms: _Terms) -> Iterator[str]:
    return islice(terms.users.users(Findings()), terms.limit)
