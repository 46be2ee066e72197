"""`personalize-connect batch`."""

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import orjson

from service.batch import error_file
from service.batch.adapters.files import find
from service.batch.load import LoadProgress, LoadReport, SetDescription, load
from service.cli.display import BYTES, TerminalDisplay, TerminalTrack, amount
from service.cli.options import Number
from service.errors import BatchError
from service.files.stored import StoredFile
from service.settings import Settings, load_settings
from service.wiring.names import user_keys
from service.wiring.tools import batch_request, open_batch_sets, placement_name

_placement = click.option(
    "--placement", default="", show_default="the first", help="Whose lists, as in PLACEMENTS_FILE: similar."
)


@click.group("batch")
def command() -> None:
    """Serve lists that a batch job of Amazon Personalize made.

    The environment and .env configure it as they do `serve`: the lists go to REDIS_URL, or to DATA_DIR without one.
    """


@command.command("load")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default=f"{error_file.NAME} in DATA_DIR",
    help="Gets a line for each line that holds no list, if there is one.",
)
@_placement
def load_command(urls: tuple[str, ...], errors: Path | None, placement: str) -> None:
    """Load a batch job's output, and serve it once all of it is there.

    URL is a file, a directory or a pattern, or s3:// with a bucket and a prefix; plain or gzip. The lists loaded before
    are served until then, and removed afterwards. If a load was interrupted, the same command goes on where it stopped.

    Exit status 1: it was not loaded, and the lists loaded before are still served.
    """
    settings = load_settings()
    name = placement_name(settings, placement)
    errors_path = errors or settings.data_dir / error_file.NAME
    files, passed_over = find(urls)
    _refuse_the_old(files, settings.cache_stale_seconds)
    if passed_over:
        click.echo(f"{passed_over} files are left out for their names")
    total_bytes = sum(file.size for file in files)
    display = TerminalDisplay()
    with open_batch_sets(settings, placement) as sets, display.track("load", BYTES, total_bytes) as track:
        loaded = load(
            files,
            sets=sets,
            keys=user_keys(settings, name),
            values_change_lists=batch_request(settings, name).values_change_lists,
            asked=batch_request(settings, name).of,
            errors_path=errors_path,
            now=time.time(),
            on_progress=_Progress(display, track, total_bytes).show,
        )
    for line in _outcome(loaded, files, settings, errors_path):
        click.echo(line)


@command.command("run")
@click.argument("name", metavar="[BATCH]", default="")
@click.option("--users", multiple=True, metavar="FILE", help="Files or s3:// with users, as `prewarm` reads them.")
@click.option("--items", multiple=True, metavar="FILE", help="The same with items, for similar items.")
@click.option("--column", default="", show_default="the usual names", help="Where the id is.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("personalize.toml"))
@click.option("--poll-seconds", type=Number(0.02, 600), default=20.0, help="Between two looks at the job.")
@click.option("--no-load", "keeps_off", is_flag=True, help="Leave the output where it is.")
@click.option("--schedule", metavar="CRON", help="Print what runs this command then, in UTC: '30 2 * * *'.")
@_placement
@click.pass_context
def run_command(  # noqa: PLR0917  # one argument an option
    context: click.Context,
    name: str,
    users: tuple[str, ...],
    items: tuple[str, ...],
    column: str,
    path: Path,
    poll_seconds: float,
    keeps_off: bool,  # noqa: FBT001  # as above
    schedule: str | None,
    placement: str,
) -> None:
    """Have Personalize make lists of users or items in a batch job, wait for it, and load them.

    BATCH is a table in [batch] of personalize.toml; it may be left out where there is one. If it was killed, the same
    command of the same day goes on with the job that it began.

    Exit status 1: the job was refused or failed, or its output was not loaded.
    """
    # The SDK takes a third of a second to import.
    from service.cli.batch_run import BatchOrder, print_schedule, run  # noqa: PLC0415

    order = BatchOrder(name=name, users=users, items=items, column=column, path=path, poll_seconds=poll_seconds)
    if schedule is not None:
        print_schedule(order, schedule, placement)
        return
    output = run(order)
    click.echo(f"lists at {output}")
    if not keeps_off:
        context.invoke(load_command, urls=(output,), errors=None, placement=placement)


@command.command("status")
@_placement
def status_command(placement: str) -> None:
    """Say which lists are active, and how far a load has come."""
    settings = load_settings()
    with open_batch_sets(settings, placement) as sets:
        status = sets.status()
    if status.description is None:
        click.echo("no batch lists are active")
    else:
        description = SetDescription(**orjson.loads(status.description))
        made = _made(description.oldest, description.newest)
        click.echo(f"{status.lists:,} lists active, {made}, loaded {_utc(description.loaded_at)}")
        click.echo(_served_until(description.newest, settings))
    if status.progress is not None:
        progress = LoadProgress(**orjson.loads(status.progress)) if status.progress else LoadProgress()
        click.echo(f"a load has brought {progress.lists:,} lists and is not done; the same command goes on with it")


@command.command("drop")
@_placement
def drop_command(placement: str) -> None:
    """Remove all batch lists, and a load under way."""
    with open_batch_sets(load_settings(), placement) as sets:
        sets.drop()
    click.echo("no batch list is kept any more")


class _Progress:
    """Bytes of the files, with the lists loaded and their rate."""

    def __init__(self, display: TerminalDisplay, track: TerminalTrack, total_bytes: int) -> None:
        self._display = display
        self._track = track
        self._total_bytes = total_bytes
        self._began: tuple[float, int] | None = None

    def show(self, stored_bytes: int, lists: int) -> None:
        """Show the bytes and the lists that are done; the rate counts from the first call."""
        now = time.monotonic()
        began_at, lists_before = self._began = self._began or (now, lists)
        note = f"{lists:,} lists, {(lists - lists_before) / max(now - began_at, 0.001):,.0f}/s"
        self._track.reach(stored_bytes, note)
        self._display.mention(lambda: f"{amount(stored_bytes, BYTES)} of {amount(self._total_bytes, BYTES)}, {note}")


def _refuse_the_old(files: Sequence[StoredFile], stale_seconds: float) -> None:
    oldest = time.time() - stale_seconds
    old = [file for file in files if file.made_at <= oldest]
    if old:
        raise BatchError(
            f"{old[0].url}: made {_utc(old[0].made_at)}, and CACHE_STALE_SECONDS, {stale_seconds:g}, would keep its"
            f" lists from being served ({len(old)} of {len(files)} files); run the batch job again"
        )


def _outcome(loaded: LoadReport, files: Sequence[StoredFile], settings: Settings, errors_path: Path) -> Iterator[str]:
    progress = loaded.progress
    made = [file.made_at for file in files]
    if loaded.resumed_at:
        yield f"went on after {loaded.resumed_at:,} lists of an interrupted load"
    yield f"{loaded.users:,} lists active, {_made(min(made), max(made))}"
    yield _served_until(max(made), settings)
    if progress.lists > loaded.users:
        yield f"{progress.lists - loaded.users:,} lines were of users who have a later one, or were forgotten meanwhile"
    if progress.other_kinds:
        yield f"{progress.other_kinds:,} lines are of another kind than the placement, and were left out"
    if progress.errors:
        yield f"{progress.errors:,} lines with errors were left out; {errors_path} names each with its line number"


def _made(oldest: float, newest: float) -> str:
    return f"made {_utc(oldest)}" if _utc(oldest) == _utc(newest) else f"made {_utc(oldest)} to {_utc(newest)}"


def _served_until(newest: float, settings: Settings) -> str:
    return f"they are served until {_utc(newest + settings.cache_stale_seconds)} (CACHE_STALE_SECONDS)"


def _utc(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
