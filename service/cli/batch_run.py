"""`personalize-connect batch run`, what it does."""

import datetime as dt
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from service.cli.display import TerminalDisplay
from service.cli.group import EXIT_FAILED
from service.cli.prewarm import named_files
from service.errors import ConfigurationError, PipelineError
from service.pipeline.train import file
from service.pipeline.train.account import Account
from service.pipeline.train.amazon import AmazonControlPlane, AmazonStorage
from service.pipeline.train.batch import run_batch
from service.pipeline.train.schedules import schedule_lines
from service.pipeline.train.terms import PipelineTerms
from service.sends.users.files import UsersFiles
from service.settings import ClientSettings, load


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """The options of the command."""

    name: str
    users: tuple[str, ...]
    items: tuple[str, ...]
    column: str
    path: Path
    poll_seconds: float


def run(order: BatchOrder) -> str:
    """Run the job, and give the address of its output; end this process if it fails."""
    terms = file.read_terms(order.path)
    name = _name(order, terms)
    if bool(order.users) == bool(order.items):
        raise click.UsageError("give --users or --items, one of them.")
    load(ClientSettings)  # for the SDK's variables in .env
    account = Account(plane=AmazonControlPlane(), display=TerminalDisplay(), poll_seconds=order.poll_seconds)
    with ExitStack() as stack:
        ids = UsersFiles(named_files(order.users or order.items, stack), order.column, items=bool(order.items))
        try:
            output = run_batch(
                account,
                terms,
                name,
                ids.users(),
                key="itemId" if order.items else "userId",
                storage=AmazonStorage(),
                today=dt.datetime.now(dt.UTC).date(),
            )
        except PipelineError as problem:
            for line in problem.problems:
                click.echo(line, err=True)
            sys.exit(EXIT_FAILED)
    click.echo(f"job {output.job} of version {output.version}", err=True)
    return output.url


def print_schedule(order: BatchOrder, cron: str, placement: str) -> None:
    """Print a CronJob and an EventBridge rule."""
    if len(cron.split()) != 5:  # noqa: PLR2004  # the five fields of cron
        raise click.BadParameter("must be five fields: '30 2 * * *'", param_hint="--schedule")
    terms = file.read_terms(order.path)
    name = _name(order, terms)
    words = ["personalize-connect", "batch", "run", name, "--file", str(order.path)]
    for option, values in (("--users", order.users), ("--items", order.items)):
        words += [word for value in values for word in (option, value)]
    for option, value in (("--column", order.column), ("--placement", placement)):
        words += [option, value] if value else []
    for line in schedule_lines(f"{terms.name}-{name}".lower(), words, cron):
        click.echo(line)


def _name(order: BatchOrder, terms: PipelineTerms) -> str:
    if order.name in terms.batch:
        return order.name
    if not order.name and len(terms.batch) == 1:
        return next(iter(terms.batch))
    there = ", ".join(terms.batch) or "none"
    raise ConfigurationError(f"{order.path}: batch: there is no [batch.{order.name or 'NAME'}]; there are: {there}")
