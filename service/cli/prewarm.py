"""`personalize-connect prewarm`."""

import asyncio
import datetime as dt
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Final, TypeAlias

import click

from service.cli.display import TerminalDisplay
from service.cli.moments import moment
from service.cli.options import Number
from service.clock import SystemClock
from service.constants import DEFAULT_NUM_RESULTS, MAX_NUM_RESULTS
from service.errors import ConfigurationError, SharedStateUnavailable
from service.files.adapters.find import find
from service.files.stored import StoredFile
from service.logs import configure_logging
from service.sends.items import NamedItems
from service.sends.ports import DEFAULT_SPARE, ItemListMaker, Names, PrewarmTerms
from service.sends.prewarm.remote import open_remote
from service.sends.prewarm.run import Prewarm
from service.sends.users.files import UsersFiles
from service.sends.users.findings import UsersFileError
from service.sends.users.standard_input import is_read_once, read_once
from service.sends.words import duration
from service.settings import CatalogSettings, ClientSettings, load, load_settings
from service.wiring.tools import first_items, open_list_maker

RECENT: Final = "recent"
CATALOG: Final = "catalog:"
"""Sources of `--items` that are no files; a file of such a name is written `./recent`."""

MAX_ITEMS: Final = 1_000_000


@click.command("prewarm")
@click.argument("more", nargs=-1, metavar="[FILE]...")
@click.option(
    "--users",
    "files",
    multiple=True,
    metavar="FILE",
    help="CSV, JSON Lines or one id a line, packed or not: a file, a folder, a pattern, s3://bucket/prefix, or - for"
    " standard input; may be repeated.",
)
@click.option(
    "--items",
    "items",
    multiple=True,
    metavar="FILE|catalog:N|recent",
    help="Items instead of users, for a placement of similar items: a file as above, the catalogue's first N, or all"
    " that were asked for in the last week.",
)
@click.option(
    "--column",
    default="",
    show_default="user_id, else external_id; of items item_id, else id",
    help="Where the id is.",
)
@click.option("--by", help="When the lists are wanted: 14:30, 2026-11-27T14:30, 14:30 Europe/Berlin.")
@click.option(
    "--spare",
    default=DEFAULT_SPARE,
    type=Number(0, 1, min_open=True),
    help="Share of PERSONALIZE_TPS that may be spent on it at most.",
)
@click.option("--max-age", default=0.0, type=Number(min=0), help="Seconds; younger lists are kept.")
@click.option(
    "--num-results", default=DEFAULT_NUM_RESULTS, type=click.IntRange(1, MAX_NUM_RESULTS), help="What templates ask."
)
@click.option(
    "--placement",
    default="",
    show_default="the first that keeps lists of users, or of items",
    help="Whose lists.",
)
@click.option("--service", default="", show_default=False, help="URL of a replica without Redis; ADMIN_KEY opens it.")
def command(
    *,
    more: tuple[str, ...],
    files: tuple[str, ...],
    items: tuple[str, ...],
    column: str,
    by: str | None,
    spare: float,
    max_age: float,
    num_results: int,
    placement: str,
    service: str,
) -> None:
    """Fetch the lists of a send before it begins.

    It takes only slots of the budget that no caller wants. Users with a fresh list are skipped, so the same command
    goes on where it was stopped. The environment and .env configure it as they do `serve`.

    With --items it fetches the lists of similar items: one list of an item serves everybody who asks for it.

    Exit status 0: everybody has a list. 1: some have none, or had none in time for --by. 2: nothing could be done.
    3: everybody has one, but some lines of the file named no user.
    """
    try:
        wanted_at = moment(by, dt.datetime.now().astimezone()) if by else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--by") from None
    if items and (files or more):
        raise click.UsageError("--items and users are both given; one of them is needed.")
    terms = PrewarmTerms(spare, num_results, max_age, placement, items=bool(items))
    with ExitStack() as stack:
        names_of = _items_of(items, column, stack) if items else _files_of([*files, *more], column, stack)
        if wanted_at is not None:
            left = duration((wanted_at - dt.datetime.now(dt.UTC)).total_seconds())
            click.echo(f"the lists are wanted by {wanted_at:%Y-%m-%d %H:%M:%S %Z}, in {left}", err=True)
        maker = _remote(service, placement) if service else _shared(terms)
        sys.exit(asyncio.run(_run(maker, names_of, terms, wanted_at)))


NamesOf: TypeAlias = Callable[[ItemListMaker], Awaitable[Names]]
"""Finds out whose lists are to be fetched."""


def _files_of(names: Sequence[str], column: str, stack: ExitStack) -> NamesOf:
    users = UsersFiles(named_files(names, stack), column)

    async def found(_: ItemListMaker) -> Names:
        return users

    return found


def _items_of(sources: Sequence[str], column: str, stack: ExitStack) -> NamesOf:
    """The items that `--items` names.

    Raises:
        UsageError: Files are mixed with another source, or N is no number.
    """
    special = [one for one in sources if one == RECENT or one.startswith(CATALOG)]
    if not special:
        files = UsersFiles(named_files(sources, stack), column, items=True)

        async def of_files(_: ItemListMaker) -> Names:
            return files

        return of_files
    if len(sources) > 1:
        raise click.UsageError(f"--items {special[0]} cannot be given beside others.")
    if special[0] == RECENT:
        return _recent
    count = special[0].removeprefix(CATALOG)
    if not (count.isascii() and count.isdecimal() and 1 <= int(count) <= MAX_ITEMS):
        raise click.UsageError(f"--items {special[0]}: N is a whole number from 1 to {MAX_ITEMS:,}.")
    settings = load(CatalogSettings)
    if not settings.catalog_url:
        raise ConfigurationError("CATALOG_URL: is missing; --items catalog:N reads it")

    async def of_catalog(_: ItemListMaker) -> Names:
        return NamedItems(await first_items(settings, int(count)), settings.catalog_url)

    return of_catalog


async def _recent(maker: ItemListMaker) -> Names:
    return NamedItems(await maker.recent_items(), "--items recent")


def named_files(names: Sequence[str], stack: ExitStack) -> list[StoredFile]:
    """The files that these name, in order, each once, until the stack is closed.

    Raises:
        UsersFileError: There is none, or one cannot be looked at.
    """
    if not names:
        raise click.UsageError("Missing option '--users'.")
    found: dict[str, StoredFile] = {}
    for name in names:
        files = [read_once(name, stack)] if is_read_once(name) else find([name], error=UsersFileError)[0]
        found.update((file.url, file) for file in files)
    return list(found.values())


def _remote(url: str, placement: str) -> AbstractAsyncContextManager[ItemListMaker]:
    """Makes lists through a replica, whose admin key is in ADMIN_KEY."""
    admin_key = load(ClientSettings).admin_key
    if admin_key is None:
        raise ConfigurationError("ADMIN_KEY: is not set; --service needs one of the service's ADMIN_KEYS")
    return open_remote(url, admin_key.get_secret_value(), placement)


def _shared(terms: PrewarmTerms) -> AbstractAsyncContextManager[ItemListMaker]:
    """Makes lists in the budget and for the store that the replicas share, as the settings say."""
    settings = load_settings()
    configure_logging("warning", "text")
    return open_list_maker(settings, placement=terms.placement, items=terms.items)


async def _names(names_of: NamesOf, maker: ItemListMaker) -> Names:
    try:
        return await names_of(maker)
    except SharedStateUnavailable as error:
        raise ConfigurationError(str(error)) from error


async def _run(
    maker: AbstractAsyncContextManager[ItemListMaker], names_of: NamesOf, terms: PrewarmTerms, by: dt.datetime | None
) -> int:
    loop = asyncio.get_running_loop()
    stopped_by: list[int] = []
    async with maker as opened:
        prewarm = Prewarm(
            opened, await _names(names_of, opened), terms, by=by, clock=SystemClock(), display=TerminalDisplay()
        )
        work = asyncio.create_task(prewarm.run())

        def stop(number: int) -> None:
            stopped_by.append(number)
            work.cancel()

        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, stop, one)
        try:
            return await work
        except asyncio.CancelledError:
            prewarm.stopped()
            return 128 + stopped_by[0]
        except SharedStateUnavailable as error:
            raise ConfigurationError(str(error)) from error
