"""`personalize-connect sample`: the service in this process, and a local Personalize in a child."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click

from service.children import child_environment
from service.cli.group import EXIT_FAILED
from service.constants import MAX_PORT
from service.errors import ConfigurationError
from service.main import SAMPLE_IMAGES
from service.server import serve
from service.settings import Settings, load_settings, read_env_file

MAX_START_SECONDS: Final = 30.0
"""How long either process may take until it answers; on an idle machine each takes a second or two."""

MAX_STOP_SECONDS: Final = 5.0
"""How long a child may take to end after SIGTERM before it is killed."""

POLL_SECONDS: Final = 0.05
"""Pause between two looks at whether a process answers yet."""

ENVIRONMENT: Final = {
    "PERSONALIZE_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/local",
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/local-similar",
    "RANKING_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/local-ranking",
    "PERSONALIZE_TRACKING_ID": "local-tracker",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}
"""Set whatever the caller's environment and `.env` say, so that nothing of it reaches a real account."""

DEFAULTS: Final = {
    "ALLOW_ANONYMOUS": "true",
    "CONSOLE_ACCESS": "open",
    "HOST": "127.0.0.1",
    "PORT": "8000",
    "PERSONALIZE_TPS": "20",
    "SIMILAR_ITEMS_TPS": "20",
    "RANKING_TPS": "20",
    "CATEGORY_COLUMN": "category",
    "EVENT_KEYS": "events-key-of-the-sample-only",
    "EXCLUDE_AFTER": "Purchase:180d",
    "DRAIN_SECONDS": "0",
    "ACCESS_LOG_SAMPLE": "1",
}
"""Set where the caller's environment says nothing. `.env` is not asked: there they are written for a real service."""

NOT_FROM_ENV_FILE: Final = (
    "CATALOG_COLUMNS",
    "EXCLUSION_FILTER",
    "GROUP_COLUMN",
    "POPULAR_ITEMS",
    "REDIS_URL",
    "ROOT_PATH",
)
"""Of `.env` too, for they are of a real shop; the caller's environment is asked."""

AT_A_TERMINAL: Final = {"LOG_FORMAT": "text", "LOG_LEVEL": "info"}
"""The same where a person reads the log."""

NOT_FOR_LOCAL: Final = (
    "PERSONALIZE_RECOMMENDER_ARN",
    "PERSONALIZE_FILTER_ARN",
    "SIMILAR_ITEMS_RECOMMENDER_ARN",
    "SIMILAR_ITEMS_FILTER_ARN",
    "RANKING_FILTER_ARN",
    "PLACEMENTS_FILE",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
"""Taken out of the caller's environment and of what `.env` says: each would contradict or disable what is set."""


@click.command("sample")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("sample"),
    help="Directory with items.csv and interactions.csv.",
)
def command(data: Path) -> None:
    """Run the service and a local Personalize on the sample data.

    This is what `make run` calls. It needs no AWS account, Docker or Redis.
    Both processes stop together, on Ctrl-C, on SIGTERM or when either ends.
    """
    _choose_port()
    port = _free_port()
    _point_environment_at(data, port)
    settings = load_settings(env_file=None)
    with _leaving_on_sigterm(), _local_personalize_child(data, port) as child:
        try:
            _wait_for_local_personalize(child, port)
            threading.Thread(target=_stop_with, args=(child,), daemon=True).start()
            threading.Thread(target=_announce, args=(settings,), daemon=True).start()
            serve(settings)
        except KeyboardInterrupt:
            sys.exit(0)  # Ctrl-C is how this command is meant to end
        finally:
            if child.returncode is not None:
                click.echo("sample: the local Personalize has ended, and all with it", err=True)
                sys.exit(EXIT_FAILED)


@contextmanager
def _local_personalize_child(data: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a local Personalize beside this process, for as long as the block lasts.

    It has a process group of its own, so that a Ctrl-C of the terminal reaches the service first. It ends by itself
    when this process is gone, however it went: the pipe to its standard input closes then.
    """
    command = [sys.executable, "-m", "service", "local-personalize", "--stop-with-stdin"]
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        [*command, "--data", str(data), "--port", str(port)],
        stdin=subprocess.PIPE,
        process_group=0,
        env=child_environment(),
    )
    try:
        yield child
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # we are leaving already
        child.terminate()
        try:
            child.wait(MAX_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for_local_personalize(child: "subprocess.Popen[bytes]", port: int) -> None:
    """Return when it answers; end this process when it does not."""
    try:
        _wait_for(port, "/_health", is_over=lambda: child.poll() is not None)
    except TimeoutError:
        click.echo("sample: the local Personalize did not start", err=True)
        sys.exit(EXIT_FAILED)


def _point_environment_at(data: Path, port: int) -> None:
    """Configure this process for the local Personalize on the given port; from here on `.env` is part of it."""
    for name, value in (DEFAULTS | (AT_A_TERMINAL if sys.stderr.isatty() else {})).items():
        if not os.environ.get(name):
            os.environ[name] = value
    service_port = os.environ["PORT"]
    if not os.environ.get("DATA_DIR"):
        # Of its own, so that it neither waits for another service of this checkout nor leaves events there.
        os.environ["DATA_DIR"] = f"data/sample-{service_port}"
    for name, in_file in read_env_file().items():
        if in_file and name.upper() not in NOT_FROM_ENV_FILE:
            os.environ.setdefault(name.upper(), in_file)
    for name in NOT_FOR_LOCAL:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    for name in ("RUNTIME", "EVENTS"):
        os.environ[f"AWS_ENDPOINT_URL_PERSONALIZE_{name}"] = f"http://127.0.0.1:{port}"
    os.environ["CATALOG_URL"] = f"file:{data / 'items.csv'}"
    if data.resolve() == SAMPLE_IMAGES.parent:
        # The pictures are this service's own, so their address follows the port.
        os.environ["CATALOG_COLUMNS"] = f"image=http://127.0.0.1:{service_port}/sample/images/{{id}}.svg"
    # The SDK sends plain HTTP through a proxy when one is set, and no proxy reaches our loopback.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, ["127.0.0.1", os.environ.get(name)]))


def _announce(settings: Settings) -> None:
    """Say what to try, as soon as the service is ready."""
    port = settings.port
    try:
        _wait_for(port, "/readyz", is_over=lambda: False)
    except TimeoutError:
        return  # the service says itself what is wrong
    here = f"http://127.0.0.1:{port}{settings.root_path}/console"
    console = "" if settings.console_access == "off" else f"See what users get, and why, at\n  {here}\n"
    tried = f"curl '127.0.0.1:{port}/recommendations?user_id=user1'"
    command = Path(sys.executable).with_name("personalize-connect")
    shown = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    further = f"Further commands: {shown} --help\n" if command.exists() else ""
    click.echo(f"\nReady. Try\n  {tried}\n{console}{further}Ctrl-C stops it.\n")


def _wait_for(port: int, path: str, *, is_over: Callable[[], bool]) -> None:
    """Return as soon as a server of this machine answers 200.

    Raises:
        TimeoutError: It did not within `MAX_START_SECONDS`, or there is no use in waiting on.
    """
    deadline = time.monotonic() + MAX_START_SECONDS
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


def _choose_port() -> None:
    """Put into `PORT` where the service will listen: 0 is any free one.

    Raises:
        ConfigurationError: Another process answers there: one would take it for the sample.
    """
    port = os.environ.get("PORT") or DEFAULTS["PORT"]
    if not port.isdecimal() or int(port) > MAX_PORT:
        return  # the settings say so
    if not int(port):
        os.environ["PORT"] = str(_free_port())
        return
    with socket.socket() as caller:
        if not caller.connect_ex(("127.0.0.1", int(port))):
            other = 8080 if int(port) != 8080 else 8081  # noqa: PLR2004  # any that is not this one
            raise ConfigurationError(f"PORT: {port} is taken; PORT={other} make run takes another")


def _free_port() -> int:
    """A loopback port on which nothing listens at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
