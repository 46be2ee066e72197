"""`personalize-connect train`.

Longer than 300 lines: a verb of the command stands beside the others, whose options it shares.
"""

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from service.cli.display import TerminalDisplay
from service.cli.group import EXIT_CONFIGURATION, EXIT_FAILED
from service.cli.options import Number
from service.errors import MissingPackage, PipelineError
from service.files.private import replace_file
from service.pipeline.train import file
from service.pipeline.train.account import Account, Resource
from service.pipeline.train.amazon import AmazonControlPlane, AmazonStorage
from service.pipeline.train.apply import Applied, Step, apply, look, tracking_id
from service.pipeline.train.costs import cost_lines, minutes
from service.pipeline.train.destroy import destroy, doomed
from service.pipeline.train.nouns import IMPORT_JOB
from service.pipeline.train.placements import placements_toml
from service.pipeline.train.promotion import Switch, promote, rollback
from service.pipeline.train.roles import create_role, policies
from service.pipeline.train.terms import PipelineTerms
from service.pipeline.train.versions import (
    DECIDING,
    Version,
    baseline_of,
    campaign_of,
    changes_between,
    recommender_metrics,
    versions_of,
)
from service.pipeline.train.wanted import stages_of
from service.settings import ClientSettings, load

try:
    from service.pipeline.train.sources import Sources
except ModuleNotFoundError as error:
    if error.name != "duckdb":
        raise
    raise MissingPackage("duckdb", "pipeline") from error

POLL_SECONDS: Final = 20.0
_SHOWN: Final = {
    DECIDING: "NDCG@10",
    "precision_at_10": "precision@10",
    "mean_reciprocal_rank_at_25": "MRR@25",
    "coverage": "coverage",
}
_file = click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path(file.NAME), help="What is wanted."
)
_json = click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
_yes = click.option("--yes", is_flag=True, help="Do not ask; for CI.")
_poll = click.option(
    "--poll-seconds", type=Number(0.02, 600), default=POLL_SECONDS, help="Between two looks at what is under way."
)


@click.group("train")
def command() -> None:
    """Make in Personalize what personalize.toml wants.

    Region, credentials and endpoints are the SDK's own, from the environment, .env and its files.
    """


def _lines_of_errors(function: Callable[..., None]) -> Callable[..., None]:
    """A command whose `PipelineError` is a line for each problem, and exit status 1."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # the command's own
        load(ClientSettings)  # for the SDK's variables in .env
        try:
            function(*args, **kwargs)
        except PipelineError as problem:
            for line in problem.problems:
                click.echo(line, err=True)
            sys.exit(EXIT_FAILED)

    return run


def account(poll_seconds: float = POLL_SECONDS) -> Account:
    """The account that the SDK is configured for."""
    return Account(plane=AmazonControlPlane(), display=TerminalDisplay(), poll_seconds=poll_seconds)


@contextmanager
def _sources(terms: PipelineTerms, own: Account) -> Iterator[Sources]:
    with Sources(terms, account=own, storage=AmazonStorage(), display=own.display, now=time.time()) as sources:
        yield sources


@command.command("plan")
@_file
@_json
@click.option("--policies", "shows_policies", is_flag=True, help="Print the policies that role and bucket need.")
@_lines_of_errors
def plan_command(*, path: Path, is_json: bool, shows_policies: bool) -> None:
    """Say what exists, what would be made, changed or kept, how long it takes and what it costs.

    It checks the data if it is to be imported. Exit status 1: Personalize would refuse it.
    """
    terms = file.read_terms(path)
    if shows_policies:
        click.echo(json.dumps(policies(terms), indent=2))
        return
    own = account()
    with _sources(terms, own) as sources:
        seen = look(own, stages_of(terms, sources.wanted()))
        if any(step.wanted.noun is IMPORT_JOB and step.outcome == "make" for step in seen.steps):
            sources.check()
        if is_json:
            click.echo(json.dumps({"steps": [_values(step) for step in seen.steps]}, indent=2))
            return
        for line in _plan_lines(terms, seen, sources):
            click.echo(line)


@command.command("apply")
@_file
@_yes
@_json
@_poll
@click.option("--create-role", is_flag=True, help="Make the role that Personalize reads the data with, and use it.")
@click.option("--placements", type=click.Path(dir_okay=False, path_type=Path), default=Path("placements.toml"))
@click.option("--promote", "promotes", is_flag=True, help="Let each campaign serve its newest version, unless worse.")
@click.option("--retrain", "retrains", is_flag=True, help="Train a version today, though the files are the same.")
@_lines_of_errors
def apply_command(  # noqa: PLR0917  # one argument an option
    path: Path,
    yes: bool,  # noqa: FBT001  # as above
    is_json: bool,  # noqa: FBT001  # as above
    poll_seconds: float,
    create_role: bool,  # noqa: FBT001  # as above
    placements: Path,
    promotes: bool,  # noqa: FBT001  # as above
    retrains: bool,  # noqa: FBT001  # as above
) -> None:
    """Make what is wanted, and wait for it.

    It may be killed at any moment; the same command goes on from there. What is there already is kept. Run it
    again when the data is new: it imports the data and trains a version, and `promote` lets the campaign serve it.

    Exit status 1: something was refused or has failed.
    """
    terms = file.read_terms(path)
    if terms.role_arn is None:
        if not create_role:
            click.echo(
                f"{path}: role_arn: is missing; --create-role makes one, `plan --policies` prints its policies",
                err=True,
            )
            sys.exit(EXIT_CONFIGURATION)
        terms = terms.model_copy(update={"role_arn": _role(terms)})
    own = account(poll_seconds)
    with _sources(terms, own) as sources:
        today = f"{dt.datetime.now(dt.UTC):%Y%m%d}" if retrains else ""
        stages = stages_of(terms, sources.wanted(), retraining=today)
        seen = look(own, stages)
        if not yes:
            if any(step.wanted.noun is IMPORT_JOB and step.outcome == "make" for step in seen.steps):
                sources.check()
            for line in _plan_lines(terms, seen, sources):
                click.echo(line, err=True)
            if seen.changes:
                click.confirm("Do it?", abort=True, err=True)
        done = apply(own, stages, check_data=sources.check)
    replace_file(placements, placements_toml(terms, done.arns, tracking_id(own, done)).encode())
    switches = [promote(own, terms, name) for name in terms.campaigns] if promotes else []
    if is_json:
        steps = [_values(step) for step in done.steps]
        click.echo(json.dumps({"steps": steps, "arns": done.arns, "trackingId": tracking_id(own, done)}, indent=2))
        return
    for step in done.changes:
        click.echo(f"{step.outcome:6} {step.wanted.title}")
    for switch in switches:
        click.echo(_said(switch))
    click.echo(f"{len(done.changes)} made or changed, {len(done.steps) - len(done.changes)} kept; {placements}")


@command.command("status")
@_file
@_json
@_lines_of_errors
def status_command(*, path: Path, is_json: bool) -> None:
    """Say in which state each resource is, and why one has failed."""
    terms = file.read_terms(path)
    own = account()
    with _sources(terms, own) as sources:
        seen = look(own, stages_of(terms, sources.wanted()))
    if is_json:
        click.echo(json.dumps({"resources": [_values(step) for step in seen.steps]}, indent=2))
        return
    for step in seen.steps:
        state = "is not there" if not step.arn else step.why
        click.echo(f"{step.wanted.title:60} {state}")


@command.command("metrics")
@_file
@_json
@_lines_of_errors
def metrics_command(*, path: Path, is_json: bool) -> None:
    """Print the versions of each solution side by side, against popularity, and what changed in their data."""
    terms = file.read_terms(path)
    own = account()
    versions = versions_of(own, terms)
    serving = {str(one.described["solutionVersionArn"]) for one in _campaigns(own, terms)}
    recommenders = recommender_metrics(own, terms)
    if is_json:
        found = [_version_values(one, serving) for one in versions]
        click.echo(json.dumps({"versions": found, "recommenders": recommenders}, indent=2))
        return
    for name, metrics in recommenders.items():
        click.echo(f"recommender {name}: {', '.join(f'{key} {value:.4f}' for key, value in metrics.items())}")
    for line in _metric_lines(terms, versions, serving):
        click.echo(line)


@command.command("promote")
@click.argument("campaign")
@_file
@_poll
@click.option("--version", "wanted", default="", show_default="the newest", help="Name or ARN of the version.")
@click.option("--force", is_flag=True, help="Also if it is worse.")
@_lines_of_errors
def promote_command(*, campaign: str, path: Path, poll_seconds: float, wanted: str, force: bool) -> None:
    """Let a campaign serve a version, unless it is worse than the one served, or than popularity."""
    terms = file.read_terms(path)
    click.echo(_said(promote(account(poll_seconds), terms, campaign, wanted=wanted, is_forced=force)))


@command.command("rollback")
@click.argument("campaign")
@_file
@_poll
@_lines_of_errors
def rollback_command(*, campaign: str, path: Path, poll_seconds: float) -> None:
    """Let a campaign serve the version before the one that it serves."""
    click.echo(_said(rollback(account(poll_seconds), file.read_terms(path), campaign)))


@command.command("destroy")
@_file
@_yes
@_poll
@_lines_of_errors
def destroy_command(*, path: Path, yes: bool, poll_seconds: float) -> None:
    """Delete the dataset group with all that is in it, and its schemas; asks first."""
    terms = file.read_terms(path)
    own = account(poll_seconds)
    stages = doomed(own, terms)
    if not stages:
        click.echo("there is nothing to delete")
        return
    if not yes:
        for resource in (one for stage in stages for one in stage):
            click.echo(f"delete {resource.noun.word} {resource.name}", err=True)
        click.confirm(
            "Delete all of it? The data in Personalize, events among it, cannot be brought back.", abort=True, err=True
        )
    destroy(own, stages)
    click.echo("all of it is deleted")


def _role(terms: PipelineTerms) -> str:
    role = create_role(terms)
    click.echo(
        f"role {role.arn}; the bucket needs this policy too:\n{json.dumps(role.bucket_policy, indent=2)}", err=True
    )
    return role.arn


def _plan_lines(terms: PipelineTerms, seen: Applied, sources: Sources) -> Iterator[str]:
    for step in seen.steps:
        least, most = step.minutes
        usual = f"{least} to {most} min" if most else ""
        yield f"{step.outcome:6} {step.wanted.title:60} {', '.join(filter(None, (usual, step.why)))}".rstrip()
    from_, to = minutes(seen.steps, stages_of(terms, sources.wanted()))
    yield f"{len(seen.changes)} to make or change, usually {from_} to {to} min in all"
    if seen.changes:
        yield from cost_lines(terms, seen.steps, sources.megabytes(), sources.interactions())


def _campaigns(own: Account, terms: PipelineTerms) -> Iterator[Resource]:

    for name in terms.campaigns:
        try:
            yield campaign_of(own, terms, name)
        except PipelineError:
            continue


def _values(step: Step) -> dict[str, str]:
    return {
        "key": step.wanted.key, "kind": step.wanted.noun.word, "name": step.wanted.name, "outcome": step.outcome,
        "why": step.why, "arn": step.arn,
    }  # fmt: skip


def _version_values(version: Version, serving: set[str]) -> dict[str, Any]:
    return {
        "solution": version.solution, "version": version.name, "arn": version.resource.arn, "made": str(version.made),
        "serving": version.resource.arn in serving, "metrics": dict(version.metrics), "data": dict(version.data),
    }  # fmt: skip


def _metric_lines(terms: PipelineTerms, versions: Sequence[Version], serving: set[str]) -> Iterator[str]:
    yield f"{'':2}{'version':40}" + "".join(f"{name:>14}" for name in _SHOWN.values())
    baseline = baseline_of(terms, list(versions))
    for name in terms.solutions:
        own = [one for one in versions if one.solution == name]
        best = max(own, key=lambda one: one.score or 0, default=None)
        before: Version | None = None
        for one in own:
            mark = "*" if one is best else " "
            cells = "".join(f"{one.metrics[key]:14.4f}" if key in one.metrics else f"{'-':>14}" for key in _SHOWN)
            said = "  serving" if one.resource.arn in serving else ""
            said += "  baseline" if baseline is not None and one.solution == baseline.solution else ""
            yield f"{mark} {f'{name} {one.name}':40}{cells}{said}"
            for line in changes_between(before, one) if before else ():
                yield f"    {line}"
            before = one
    yield "* the best of its solution by NDCG@10"
    if baseline is None:
        yield 'no baseline: [solutions.popular] with recipe = "popularity-count" says what counting gives'


def _said(switch: Switch) -> str:
    name = switch.campaign.name
    if not switch.is_changed:
        return f"campaign {name} serves {switch.after.name} already"
    return f"campaign {name} serves {switch.after.name}, before {switch.before.rpartition('/')[2]}"
