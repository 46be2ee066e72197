"""The command `personalize-connect`.

A command is a file in this room and a line in `COMMANDS`. Its file is loaded when it is called, so that `--help`
answers at once and the local Personalize does not load the service.
"""

from pathlib import Path
from typing import Final

import click

from service.cli.group import CommandLine

COMMANDS: Final = {
    "batch": "Serve lists that a batch job of Amazon Personalize made.",
    "catalog": "Look after the catalogue.",
    "data": "Look into the data that Personalize is to learn from.",
    "doctor": "Check a set-up from end to end, and say what to do.",
    "events": "Look after the events that wait for Amazon Personalize.",
    "hash-key": "Print a key as API_KEYS may hold it, or user:password as BASIC_AUTH may.",
    "liquid": "Check and render templates as Braze would.",
    "local-personalize": "Run a local Personalize until a signal.",
    "plan": "Say what a send will get before it is sent.",
    "prewarm": "Fetch the lists of a send before it begins.",
    "rehearse": "Play a send against a service as Braze would, before Braze does.",
    "sample": "Run the service and a local Personalize on the sample data.",
    "serve": "Run the service until a signal.",
    "train": "Make in Personalize what personalize.toml wants.",
}
"""Each command, and the first sentence of its help, which `--help` shows without loading the command."""

SAY_VERSION: Final = "Show the version and exit."


def _version() -> str:
    """The installed version; in a checkout that was not installed, the one in `pyproject.toml`."""
    # Both take longer to load than the rest of a help, and few ask for a version.
    import tomllib  # noqa: PLC0415  # see above
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # see above

    try:
        return version("personalize-connect")
    except PackageNotFoundError:
        project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))
        return str(project["project"]["version"])


def _say_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click passes it so
    if wanted and not ctx.resilient_parsing:
        click.echo(f"personalize-connect, version {_version()}", color=ctx.color)
        ctx.exit()


@click.group(
    cls=CommandLine,
    package=__name__,
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_say_version, help=SAY_VERSION)
def main() -> None:
    """Amazon Personalize recommendations for Braze Connected Content."""
