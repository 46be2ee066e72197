"""`personalize-connect catalog`."""

import asyncio
import sys

import click

from service.catalog.check import check_catalog
from service.cli.group import EXIT_FAILED
from service.errors import CatalogError
from service.settings import CatalogSettings, load


@click.group("catalog")
def command() -> None:
    """Look after the catalogue."""


@command.command("check")
@click.argument("url", required=False)
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

    URL is written as in CATALOG_URL, and is CATALOG_URL if it is left out. The environment and .env are read as `serve`
    reads them. Exit status 1 when there is not a single item to show.
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
