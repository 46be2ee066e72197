"""The command `personalize-connect`.

What a command needs is imported when it runs, so that `--help` answers at once and the local Personalize
does not load the service.
"""

import asyncio
import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from getpass import getpass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click

from service.constants import DEFAULT_NUM_RESULTS, MAX_NUM_RESULTS
from service.errors import BatchError, ConfigurationError

EXIT_CONFIGURATION: Final = 2
"""Exit status of a start that the settings, the catalogue or a filter forbid."""

START_SECONDS: Final = 30.0
"""How long `sample` waits for either process to answer; on an idle machine each takes a second or two."""

MAX_PORT: Final = 65535
"""Highest TCP port."""

STOP_SECONDS: Final = 5.0
"""How long a child may take to end after SIGTERM before it is killed."""

POLL_SECONDS: Final = 0.05
"""Pause between two looks at whether a process answers yet."""

LOCAL_ENVIRONMENT: Final = {
    "PERSONALIZE_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/local",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}
"""What `sample` sets whatever the caller's environment says, so that nothing of it reaches a real account."""

LOCAL_DEFAULTS: Final = {
    "ALLOW_ANONYMOUS": "true",
    "HOST": "127.0.0.1",
    "PORT": "8000",
    "PERSONALIZE_TPS": "20",
    "DRAIN_SECONDS": "0",
}
"""What `sample` sets only where the caller's environment says nothing."""

NOT_FOR_LOCAL: Final = (
    "PERSONALIZE_RECOMMENDER_ARN",
    "PERSONALIZE_FILTER_ARN",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
"""What `sample` takes out of the environment: each would contradict or disable what it sets."""


def _version() -> str:
    """The installed version; in a checkout that was not installed, the one in `pyproject.toml`."""
    try:
        return version("personalize-connect")
    except PackageNotFoundError:
        project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
        return str(project["project"]["version"])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(_version(), prog_name="personalize-connect")
def main() -> None:
    """Amazon Personalize recommendations for Braze Connected Content."""


@main.command()
def serve() -> None:
    """Run the service until a signal.

    The environment configures it. Exit status 2 and one line for each mistake when it is configured wrongly.
    """
    _serve()


@main.command("local-personalize")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Directory with interactions.csv, in Amazon Personalize's columns.",
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=9100, type=click.IntRange(0, MAX_PORT), help="Port to listen on.")
@click.option("--tps", default=0.0, type=click.FloatRange(min=0), help="Throttle above this rate; 0: never.")
@click.option("--latency-ms", default=0.0, type=click.FloatRange(min=0), help="Answer this much later.")
@click.option("--filter", "filters", multiple=True, help="A filter that exists, NAME=EXPRESSION.")
@click.option("--stop-with-stdin", is_flag=True, hidden=True, help="Stop when standard input is closed.")
def local_personalize(
    *,
    data: Path,
    host: str,
    port: int,
    tps: float,
    latency_ms: float,
    filters: tuple[str, ...],
    stop_with_stdin: bool,
) -> None:
    """Run a local Personalize until a signal.

    It stands in for Amazon's and learns from the interactions at start. Point
    AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME at it.
    """
    # Only this command needs it.
    from service.local_personalize import LocalPersonalizeError, runtime_api  # noqa: PLC0415

    if stop_with_stdin:
        threading.Thread(target=_stop_at_end_of_stdin, daemon=True).start()
    try:
        runtime_api.serve(data=data, host=host, port=port, tps=tps, latency_ms=latency_ms, filters=filters)
    except LocalPersonalizeError as error:
        click.echo(f"local-personalize: {error}", err=True)
        sys.exit(1)


@main.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("sample"),
    help="Directory with items.csv and interactions.csv.",
)
def sample(data: Path) -> None:
    """Run both on the sample data.

    This is what `make run` calls. It needs no AWS account, Docker or Redis.
    Both processes stop together, on Ctrl-C, on SIGTERM or when either ends.
    """
    _refuse_a_taken_port()
    port = _free_port()
    with _leaving_on_sigterm(), _local_personalize_child(data, port) as child:
        try:
            _wait_for_local_personalize(child, port)
            _point_environment_at(data, port)
            threading.Thread(target=_stop_with, args=(child,), daemon=True).start()
            threading.Thread(target=_announce, daemon=True).start()
            _serve()
        except KeyboardInterrupt:
            sys.exit(0)  # Ctrl-C is how this command is meant to end
        finally:
            if child.returncode is not None:
                click.echo("sample: the local Personalize has ended, and all with it", err=True)
                sys.exit(1)


@main.command("hash-key")
def hash_key() -> None:
    """Print a key as API_KEYS may hold it.

    The key comes from standard input, so that it is in no list of processes and no shell's history.
    """
    from service import credentials  # noqa: PLC0415 - only this command needs it

    key = getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        click.echo(credentials.hash_key(key.strip()))
    except ValueError as error:
        click.echo(f"hash-key: {error}", err=True)
        sys.exit(1)


@main.command()
@click.option(
    "--users",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="CSV, JSON Lines or one id a line; also with gzip.",
)
@click.option("--column", default="", help="Where the user id is.  [default: user_id, else external_id]")
@click.option("--by", help="When the lists are wanted: 14:30, or 2026-11-27T14:30.")
@click.option(
    "--spare",
    default=0.8,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of PERSONALIZE_TPS that may be spent on it at most.",
)
@click.option("--max-age", default=0.0, type=click.FloatRange(min=0), help="Seconds; younger lists are left alone.")
@click.option(
    "--num-results", default=DEFAULT_NUM_RESULTS, type=click.IntRange(1, MAX_NUM_RESULTS), help="What templates ask."
)
@click.option("--service", default="", help="URL of a replica without Redis; ADMIN_KEY opens it.")
def prewarm(
    *, users: Path, column: str, by: str | None, spare: float, max_age: float, num_results: int, service: str
) -> None:
    """Fetch lists ahead of a send.

    It takes only slots of the budget that no caller wants. Users with a fresh list are skipped, so the same command
    goes on where it was stopped. The environment configures it as it does `serve`.

    Exit status 0: everybody has a list. 1: some have none, or had none in time for --by. 2: nothing could be done.
    3: everybody has one, but some lines of the file named no user.
    """
    # Only this command needs it.
    from service.cli import prewarm_command as command  # noqa: PLC0415
    from service.sends.ports import PrewarmTerms  # noqa: PLC0415
    from service.sends.prewarm.users_file import UsersFile  # noqa: PLC0415

    try:
        moment = command.moment(by, dt.datetime.now().astimezone()) if by else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--by") from None
    terms = PrewarmTerms(spare=spare, num_results=num_results, max_age_seconds=max_age)
    try:
        sys.exit(command.prewarm(UsersFile(users, column), terms, by=moment, service=service))
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(EXIT_CONFIGURATION)


_SHARE: Final = click.FloatRange(0, 1)
_ABOVE_ZERO: Final = click.FloatRange(min=0, min_open=True)
_NOT_NEGATIVE: Final = click.FloatRange(min=0)


@main.command("plan")
@click.option("--recipients", type=click.IntRange(1, 50_000_000), required=True, help="Distinct users of the send.")
@click.option("--passes", type=click.IntRange(1, 10), default=3, help="Calls for each: HTML, plain text, AMP.")
@click.option("--minutes", type=_ABOVE_ZERO, required=True, help="From the first message to the last.")
@click.option(
    "--tps", type=_ABOVE_ZERO, envvar="PERSONALIZE_TPS", show_envvar=True, required=True, help="PERSONALIZE_TPS."
)
@click.option("--cached", type=_SHARE, default=0.0, help="Share of recipients with a fresh list at the start.")
@click.option("--stale", type=_SHARE, default=0.0, help="Share with an older list.")
@click.option("--batch", type=_SHARE, default=0.0, help="Share in the batch, whatever else they have.")
@click.option("--cached-age", type=_NOT_NEGATIVE, default=0.0, help="Age of the fresh lists at the start, in seconds.")
@click.option("--stale-newer", is_flag=True, help="The stale lists are newer than the batch.")
@click.option("--gap", type=_NOT_NEGATIVE, default=0.0, help="Seconds between the calls of one recipient.")
@click.option("--peak", type=click.FloatRange(min=1), default=1.0, help="Peak within a minute over its average.")
@click.option("--latency-ms", type=_NOT_NEGATIVE, default=50.0, help="Of a transaction.")
@click.option("--spare", type=_SHARE, default=0.8, help="Share of the TPS that prewarm may spend.")
@click.option("--fresh-seconds", type=_NOT_NEGATIVE, default=900.0, envvar="CACHE_FRESH_SECONDS", show_envvar=True)
@click.option("--stale-seconds", type=_NOT_NEGATIVE, default=604_800.0, envvar="CACHE_STALE_SECONDS", show_envvar=True)
@click.option("--deadline", type=_ABOVE_ZERO, default=1.5, envvar="REQUEST_DEADLINE_SECONDS", show_envvar=True)
@click.option("--price-per-tps-hour", type=_NOT_NEGATIVE, help="What you pay; no price, no cost.")
@click.option("--price-per-1000-batch", type=_NOT_NEGATIVE, help="For batch lists of 1,000 users.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture of the send, a PNG.")
def plan_(*, as_json: bool, plot: Path | None, **inputs: float) -> None:
    """Say what a send will get before it is sent.

    It is simulated by the rules that the service answers by: which share of the recipients gets a live, cached,
    stale, batch or popular list, at which rate or TPS all could be live, and when prewarm must start.
    """
    from service.cli import plan_command as command  # noqa: PLC0415 - only this command needs it

    try:
        command.run(inputs, as_json=as_json, plot=plot)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except command.PictureUnavailable as error:
        click.echo(f"plan: --plot: {error}", err=True)
        sys.exit(1)


@main.group()
def batch() -> None:
    """Serve lists that a batch job of Amazon Personalize made.

    The environment configures it as it does `serve`: the lists go to REDIS_URL, or to DATA_DIR without one.
    """


@batch.command("load")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option(
    "--errors",
    "errors_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("batch-errors.jsonl"),
    help="Gets a line for each line that holds no list.",
)
def batch_load(urls: tuple[str, ...], errors_path: Path) -> None:
    """Load a batch job's output and put it in force.

    URL is a file, a directory or a pattern, or s3:// with a bucket and a prefix; plain or gzip. What was in force is
    served until all is loaded, and then removed. The same command goes on where it was stopped.

    Exit status 1: it was not loaded, and what was in force still is.
    """
    with _batch_errors():
        # Only this command needs it.
        from service.cli import batch_command as command  # noqa: PLC0415

        command.load_batch(urls, errors_path, click.echo)


@batch.command("status")
def batch_status() -> None:
    """Say which lists are in force, and how far a load has come."""
    with _batch_errors():
        # Only this command needs it.
        from service.cli import batch_command as command  # noqa: PLC0415

        command.say_status(click.echo)


@batch.command("drop")
def batch_drop() -> None:
    """Remove all batch lists, and a load under way."""
    with _batch_errors():
        # Only this command needs it.
        from service.cli import batch_command as command  # noqa: PLC0415

        command.drop(click.echo)


@contextmanager
def _batch_errors() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(EXIT_CONFIGURATION)
    except BatchError as error:
        click.echo(f"batch: {error}", err=True)
        sys.exit(1)


@main.group()
def catalog() -> None:
    """Look after the catalogue."""


@catalog.command("check")
@click.argument("url")
@click.option(
    "--columns",
    envvar="CATALOG_COLUMNS",
    default="",
    help="Our column names to the source's, as in CATALOG_COLUMNS.",
)
@click.option(
    "--exclusion-filter",
    "exclusion_filters",
    multiple=True,
    help="Count what this expression would remove, as in EXCLUSION_FILTER; may be repeated.",
)
def catalog_check(url: str, columns: str, exclusion_filters: tuple[str, ...]) -> None:
    """Say what is in a catalogue and what would not be shown.

    URL is written as in CATALOG_URL. Exit status 1 when there is not a single item to show.
    """
    # Only this command needs it.
    from service.catalog.check import check_catalog  # noqa: PLC0415

    pairs = (pair.partition("=") for pair in columns.split(",") if pair.strip())
    mapping = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
    try:
        found = asyncio.run(check_catalog(url, column_mapping=mapping, exclusion_filters=exclusion_filters))
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(1)
    for line in found.lines():
        click.echo(line)
    if not found.shown:
        sys.exit(1)


def _serve() -> None:
    """Run the service; a mistake in its configuration ends the process with a line for each."""
    # Only two commands need them.
    from service import server  # noqa: PLC0415
    from service.settings import load_settings  # noqa: PLC0415

    try:
        server.serve(load_settings())
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(EXIT_CONFIGURATION)


@contextmanager
def _local_personalize_child(data: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a local Personalize beside this process, for as long as the block lasts.

    It has a process group of its own, so that a Ctrl-C of the terminal reaches the service first, and it ends
    by itself when this process is gone, however it went: the pipe to its standard input closes then.
    """
    command = [sys.executable, "-m", "service", "local-personalize", "--stop-with-stdin"]
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        [*command, "--data", str(data), "--port", str(port)], stdin=subprocess.PIPE, process_group=0
    )
    try:
        yield child
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # we are leaving already
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for_local_personalize(child: "subprocess.Popen[bytes]", port: int) -> None:
    """Return when it answers; end this process when it does not."""
    try:
        _wait_for(port, "/_health", is_over=lambda: child.poll() is not None)
    except TimeoutError:
        click.echo("sample: the local Personalize did not start", err=True)
        sys.exit(1)


def _point_environment_at(data: Path, port: int) -> None:
    """Configure this process for the local Personalize on the given port."""
    for name in NOT_FOR_LOCAL:
        os.environ.pop(name, None)
    os.environ.update(LOCAL_ENVIRONMENT)
    os.environ["AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME"] = f"http://127.0.0.1:{port}"
    os.environ["CATALOG_URL"] = f"file:{data / 'items.csv'}"
    for name, value in LOCAL_DEFAULTS.items():
        os.environ.setdefault(name, value)
    # The SDK sends plain HTTP through a proxy when one is set, and no proxy reaches our loopback.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, ["127.0.0.1", os.environ.get(name)]))


def _announce() -> None:
    """Say what to try, as soon as the service is ready."""
    try:
        port = int(os.environ["PORT"])
        _wait_for(port, "/readyz", is_over=lambda: False)
    except (TimeoutError, ValueError):
        return  # the service says itself what is wrong
    click.echo(f"\nReady. Try\n  curl '127.0.0.1:{port}/recommendations?user_id=user1'\nCtrl-C stops it.\n")


def _wait_for(port: int, path: str, *, is_over: Callable[[], bool]) -> None:
    """Return as soon as a server of this machine answers 200.

    Raises:
        TimeoutError: It did not within `START_SECONDS`, or there is no use in waiting on.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not is_over():
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == HTTPStatus.OK:
                return
        except (OSError, HTTPException):
            pass  # not listening yet
        finally:
            connection.close()
        time.sleep(POLL_SECONDS)
    raise TimeoutError


def _refuse_a_taken_port() -> None:
    """End this process if somebody else answers at `PORT`, whom one would take for the sample."""
    port = os.environ.get("PORT", LOCAL_DEFAULTS["PORT"])
    with socket.socket() as caller:
        if port.isdecimal() and int(port) <= MAX_PORT and not caller.connect_ex(("127.0.0.1", int(port))):
            click.echo(f"PORT: {port} is taken; PORT=8080 make run takes another", err=True)
            sys.exit(EXIT_CONFIGURATION)


def _free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _stop_at_end_of_stdin() -> None:
    """Stop this process as SIGTERM would, once nobody holds the other end of its standard input."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _stop_with(child: "subprocess.Popen[bytes]") -> None:
    """Stop this process as SIGTERM would, once its child has ended."""
    child.wait()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """SIGTERM is an ordinary exit for as long as the block lasts; afterwards signals are handled as before."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Turn a signal into an ordinary exit, so that what was opened is closed."""
    sys.exit(0)
