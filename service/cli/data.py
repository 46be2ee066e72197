"""`personalize-connect data`."""

import json
import sys
import time
from pathlib import Path
from typing import get_args

import click

from service.cli.display import TerminalDisplay
from service.cli.group import EXIT_FAILED
from service.errors import MissingPackage
from service.pipeline.data.limits import KINDS, DatasetKind, Domain
from service.pipeline.data.places import find_datasets

try:
    from service.pipeline.data.check import CheckReport, Wishes, checked
    from service.pipeline.data.fix import fix
    from service.pipeline.data.report import as_json, lines
except ModuleNotFoundError as error:
    if error.name != "duckdb":
        raise
    raise MissingPackage("duckdb", "pipeline") from error


@click.group("data")
def command() -> None:
    """Look into the data that Personalize is to learn from."""


@command.command("check")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--interactions", multiple=True, metavar="URL", help="Holds interactions; may be repeated.")
@click.option("--items", multiple=True, metavar="URL", help="Holds items; may be repeated.")
@click.option("--users", multiple=True, metavar="URL", help="Holds users; may be repeated.")
@click.option("--domain", type=click.Choice(get_args(Domain)), help="Check for a domain dataset group.")
@click.option("--event-type", "event_types", multiple=True, help="A solution trains only on it; may be repeated.")
@click.option("--schema", "shows_schema", is_flag=True, help="Print the schemas that the values suggest.")
@click.option("--fix", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write files that pass.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def check(
    *,
    urls: tuple[str, ...],
    interactions: tuple[str, ...],
    items: tuple[str, ...],
    users: tuple[str, ...],
    domain: Domain | None,
    event_types: tuple[str, ...],
    shows_schema: bool,
    folder: Path | None,
    is_json: bool,
) -> None:
    """Say whether Personalize can import data and train on it, and what the data looks like.

    URL is a file, a directory, a pattern, or s3:// with a bucket and a prefix. CSV, JSON Lines and Parquet are read,
    gzip or not. The name of a file, or of its folder, says whether it holds interactions, items or users.

    Exit status 1: Personalize would refuse it. With --fix: it would refuse what was written.
    """
    if not (urls or interactions or items or users):
        raise click.UsageError("give the data: a file, a directory or s3://")
    named: dict[DatasetKind, tuple[str, ...]] = dict(zip(KINDS, (interactions, items, users), strict=True))
    files, unknown = find_datasets(urls, named)
    display = TerminalDisplay()
    for url in unknown:
        display.say(f"{url}: left out, its name does not say what it holds")
    wishes = Wishes(domain=domain, wanted_events={f"--event-type {name}": name for name in event_types})
    written: list[str] = []
    with checked(files, wishes, now=time.time(), display=display) as (report, workspace):
        if folder is not None:
            written = list(fix(workspace, report, folder))
    if not is_json:
        _show(report, shows_schema=shows_schema)
    after = _after(folder, wishes, display) if folder is not None else report
    if is_json:
        fixed = {"fixed": {"written": written, **as_json(after)}} if folder is not None else {}
        click.echo(json.dumps({**as_json(report), **fixed}, indent=2))
    elif folder is not None:
        click.echo("")
        for line in [*written, *(finding.text() for finding in after.findings if finding.level != "note")]:
            click.echo(line)
        click.echo("what was written passes" if after.is_fine else "what was written does not pass yet")
    if not after.is_fine:
        sys.exit(EXIT_FAILED)


def _show(report: CheckReport, *, shows_schema: bool) -> None:
    for line in lines(report):
        click.echo(line)
    if shows_schema:
        for kind, schema in report.schemas().items():
            click.echo(f"\nschema of the {kind}:\n{json.dumps(schema, indent=2)}")


def _after(folder: Path, wishes: Wishes, display: TerminalDisplay) -> CheckReport:
    """The check of what was written."""
    named = {kind: [str(folder / f"{kind}.csv")] for kind in KINDS if (folder / f"{kind}.csv").exists()}
    files, _ = find_datasets([], named)
    with checked(files, wishes, now=time.time(), display=display) as (report, _):
        return report
