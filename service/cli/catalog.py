"""`personalize-connect catalog`."""

import asyncio
import sys
from pathlib import Path

import click

from service.catalog.build_file import build_catalog_file
from service.catalog.check import check_catalog
from service.cli.display import TerminalDisplay
from service.cli.group import EXIT_FAILED
from service.cli.options import catalog_url
from service.errors import CatalogError, ConfigurationError
from service.events.items.push import PushReport
from service.logs import configure_logging
from service.settings import CatalogSettings, load
from service.settings.state import StateSettings
from service.wiring.items import ItemPushing, open_item_push

EXIT_REFUSED = 3
"""Everything was looked at, and some items were not taken."""


@click.group("catalog")
def command() -> None:
    """Look after the catalogue."""


@command.command("check")
@click.argument("url", required=False, type=catalog_url)
@click.option("--columns", help="Our column names to the source's.", show_default="CATALOG_COLUMNS")
@click.option(
    "--exclusion-filter",
    "exclusion_filters",
    multiple=True,
    help="Count what this expression would remove; may be repeated.",
    show_default="EXCLUSION_FILTER",
)
def check(url: str | None, columns: str | None, exclusion_filters: tuple[str, ...]) -> None:
    """Say what is in a catalogue and what would not be shown.

    URL is a file, or an address as in CATALOG_URL. Left out, it is CATALOG_URL. The environment and .env are read as
    `serve` reads them. Exit status 1 when there is not a single item to show.
    """
    settings = load(CatalogSettings, catalog_url=url, catalog_columns=columns)
    configured = (settings.exclusion_filter,) if settings.exclusion_filter else ()
    try:
        found = asyncio.run(
            check_catalog(
                settings.catalog_url,
                column_mapping=settings.column_mapping,
                exclusion_filters=exclusion_filters or configured,
                curated=settings.popular_ids,
            )
        )
    except CatalogError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(EXIT_FAILED)
    for line in found.lines():
        click.echo(line)
    if not found.shown:
        sys.exit(EXIT_FAILED)


@command.command("build")
@click.argument("url", required=False, type=catalog_url)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option("--columns", help="Our column names to the source's.", show_default="CATALOG_COLUMNS")
@click.option("--exclusion-filter", help="As the service has it.", show_default="EXCLUSION_FILTER")
def build(url: str | None, out: Path, columns: str | None, exclusion_filter: str | None) -> None:
    """Write the catalogue into one file, so that a replica without a volume of its own starts with it.

    URL is a file, or an address as in CATALOG_URL. Left out, it is CATALOG_URL. The environment and .env are read as
    `serve` reads them. A replica with CATALOG_FILE=FILE uses the file while CATALOG_URL holds what it was made of, and
    its settings and version are the same. A file that is up to date already is left as it is.

    Exit status 1 when the source cannot be read or the file not be written.
    """
    configure_logging("warning", "text")
    settings = load(CatalogSettings, catalog_url=url, catalog_columns=columns, exclusion_filter=exclusion_filter)
    try:
        items = asyncio.run(
            build_catalog_file(
                settings.catalog_url,
                out,
                column_mapping=settings.column_mapping,
                exclusion_filter=settings.exclusion_filter,
            )
        )
    except CatalogError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(EXIT_FAILED)
    click.echo(f"{out}: {items:,} items; start replicas with CATALOG_FILE={out}")


@command.command("push")
@click.argument("url", required=False, type=catalog_url)
@click.option("--dataset-arn", help="Of the items dataset.", show_default="PERSONALIZE_ITEMS_DATASET_ARN")
@click.option(
    "--columns",
    default="",
    show_default="those of the dataset's schema",
    help="The dataset's columns and the catalogue's: PRICE=price,CATEGORY_L1=category.",
)
@click.option("--all", "anew", is_flag=True, help="Put all items, not only what has changed.")
@click.option("--dry-run", is_flag=True, help="Say what would be put, and put nothing.")
def push(url: str | None, dataset_arn: str | None, columns: str, *, anew: bool, dry_run: bool) -> None:
    """Put what has changed in the catalogue into Personalize's items dataset.

    URL is a file, or an address as in CATALOG_URL. Left out, it is CATALOG_URL. PutItems takes 10 items a call and 10
    calls a second; let an import job put a first million. What was put is noted in DATA_DIR after each call. The next
    run puts only what has changed since, and one that was interrupted goes on.

    Exit status 0: the dataset has all items. 1: it stopped on the way. 2: nothing could be done. 3: some items were not
    taken.
    """
    settings = load(CatalogSettings, catalog_url=url, personalize_items_dataset_arn=dataset_arn)
    if settings.personalize_items_dataset_arn is None:
        raise ConfigurationError("PERSONALIZE_ITEMS_DATASET_ARN: is not set; name the dataset with --dataset-arn")
    data_dir = load(StateSettings).data_dir
    display = TerminalDisplay()
    with open_item_push(settings, settings.personalize_items_dataset_arn, data_dir, columns) as pushing:
        report = asyncio.run(pushing.compare(anew=anew))
        if not dry_run:
            _put(pushing, report, display)
    for line in _summary(report, dry_run=dry_run):
        click.echo(line)
    sys.exit(EXIT_REFUSED if report.refused else 0)


def _put(pushing: ItemPushing, report: PushReport, display: TerminalDisplay) -> None:
    with display.track("push", "items", report.wanted) as track:

        def show(done: int) -> None:
            track.reach(done, "")
            display.mention(lambda: f"push: {done:,} of {report.wanted:,} items")

        try:
            pushing.push(report, show)
        except BaseException:
            display.say(f"stopped after {report.put:,} of {report.wanted:,} items; the same command goes on from here")
            raise


def _summary(report: PushReport, *, dry_run: bool) -> list[str]:
    done = "would be put" if dry_run else "put"
    lines = [
        f"{report.wanted if dry_run else report.put:,} items {done}: {report.new:,} new, {report.changed:,} changed",
        f"{report.unchanged:,} items are as they were",
    ]
    if report.gone:
        lines.append(f"{report.gone:,} left the catalogue; Personalize keeps them, and the service shows none of them")
    if report.refused:
        lines.append(f"{report.refused:,} items were not taken")
    return lines + report.problems
