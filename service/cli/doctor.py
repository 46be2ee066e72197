"""`personalize-connect doctor`."""

import asyncio
import json
import sys

import click

from service.cli.group import EXIT_FAILED
from service.clock import SystemClock
from service.doctor.checkup import DEFAULT_TRANSACTIONS, Wishes, checkup
from service.doctor.findings import Finding, is_fine, report
from service.logs import configure_logging


@click.command("doctor")
@click.option("--user", "users", multiple=True, metavar="ID", help="Ask for this user's list; may be repeated.")
@click.option(
    "--transactions",
    "max_transactions",
    type=click.IntRange(0, 20),
    default=DEFAULT_TRANSACTIONS,
    help="Most transactions for each ARN; 0 asks Personalize nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(users: tuple[str, ...], *, max_transactions: int, as_json: bool) -> None:
    """Check a set-up from end to end, and say what to do.

    It looks at the settings, the credentials, each campaign, recommender and filter, the catalogue, Redis, the clock
    and the limits of this machine, and prints a line for each: ok, warning or error. The environment and .env are read
    as `serve` reads them, so run it where `serve` runs.

    It spends a few transactions of each campaign, within the TPS.

    Exit status 1 when there is an error.
    """
    # What the service would log is what the findings say.
    configure_logging("critical", "text")
    findings = asyncio.run(_checked(Wishes(users, max_transactions), print_lines=not as_json))
    if as_json:
        click.echo(json.dumps(report(findings), indent=2))
    if not is_fine(findings):
        sys.exit(EXIT_FAILED)


async def _checked(wishes: Wishes, *, print_lines: bool) -> list[Finding]:
    findings = []
    async for finding in checkup(wishes, SystemClock()):
        findings.append(finding)
        if print_lines:
            click.echo(finding.line())
    return findings
