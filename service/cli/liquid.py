"""`personalize-connect liquid`."""

import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from service.cli.group import EXIT_FAILED
from service.errors import ConfigurationError, MissingPackage, TemplateError
from service.settings import load
from service.settings.access import AccessSettings

try:
    from service.braze.adapters.http import ServiceCaller
    from service.braze.blocks import read_blocks
    from service.braze.cases import CASES, made_up
    from service.braze.lint.lint import Lint
    from service.braze.lint.report import as_github, as_json, as_text
    from service.braze.ports import Caller, Job, Message
    from service.braze.sandbox import Sandbox
    from service.braze.source import line_and_column
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"liquid", "dateutil"}:
        raise
    raise MissingPackage("python-liquid", "liquid") from error

CHANNELS: Final = ("email", "push", "content-card")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group("liquid")
def command() -> None:
    """Check and render templates as Braze would."""


@command.command("lint")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option("--as", "channel", type=click.Choice(CHANNELS), show_default="by its HTML", help="What the messages are.")
@click.option("--message", is_flag=True, help="The files are the parts of one message: title, body, image, link.")
@click.option("--blocks", type=FOLDER, help="Folder of Content Blocks, to look into those that are used.")
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "github"]), default="text", help="Of the output."
)
@click.option("--json", "as_json_", is_flag=True, help="The same as --format json.")
def lint(
    *,
    files: tuple[Path, ...],
    channel: str | None,
    message: bool,
    blocks: Path | None,
    format_: str,
    as_json_: bool,
) -> None:
    """Find mistakes in templates: where, what will happen, and what to write instead.

    Exit status 0: no errors; there may be warnings. 1: errors. 2: a file or an option is wrong.
    """
    checker = Lint(channel, read_blocks(blocks) if blocks else None)
    findings = [finding for file in files for finding in checker.check(str(file), _text(file))]
    if message:
        findings += checker.across()
    report = {"text": as_text, "json": as_json, "github": as_github}["json" if as_json_ else format_](findings)
    if report:
        click.echo(report)
    errors = sum(one.severity == "error" for one in findings)
    if format_ == "text" and not as_json_:
        click.echo(f"{len(files)} files: {errors} errors, {len(findings) - errors} warnings", err=True)
    if errors:
        sys.exit(EXIT_FAILED)


@command.command("render")
@click.argument("file", type=FILE)
@click.option("--user-id", required=True, help="What ${user_id} stands for; may be empty.")
@click.option("--as", "channel", type=click.Choice(CHANNELS), default="email", help="What the message is.")
@click.option(
    "--case", "cases", type=click.Choice([*CASES, "all"]), multiple=True, help="A hard case; may be repeated."
)
@click.option("--service", default="", show_default="made-up items", help="URL of the service that answers the calls.")
@click.option("--attribute", "attributes", multiple=True, help="NAME=VALUE or NAMESPACE.NAME=VALUE; may be repeated.")
@click.option("--blocks", type=FOLDER, help="Folder of Content Blocks: NAME.liquid or NAME.html.")
def render(
    *,
    file: Path,
    user_id: str,
    channel: str,
    cases: tuple[str, ...],
    service: str,
    attributes: tuple[str, ...],
    blocks: Path | None,
) -> None:
    """Show what Braze would send to a user.

    The calls of the template go to --service and nowhere else, whatever host they name. BASIC_AUTH and API_KEYS, of the
    environment or .env, stand for the credentials that Braze stores. The message goes to standard output; the calls,
    and why nothing is sent, to standard error.

    Exit status 0: rendered, or aborted as the template wants it. 1: Braze would fail to render it.
    """
    if service:
        check_service(service)
    caller: Caller = ServiceCaller(service, {"*": credentials()}) if service else made_up
    if not service:
        click.echo("without --service the items are made up", err=True)
    job = job_for(file, user_id, attributes, read_blocks(blocks) if blocks else {})
    failed = False
    wanted = list(CASES) if "all" in cases else list(cases)
    for case in wanted or [""]:
        if len(wanted) > 1:
            click.echo(f"--- {case}")
        with Sandbox(CASES[case](caller) if case else caller) as sandbox:
            try:
                _show(sandbox.render(job), channel)
            except TemplateError as error:
                failed = True
                line, column = line_and_column(job.template, error.offset or 0)
                click.echo(f"{file}:{line}:{column}: Braze sends nothing: {error.problem}", err=True)
    if failed:
        sys.exit(EXIT_FAILED)


def check_service(address: str) -> None:
    """Refuse what no service has for an address.

    Raises:
        BadParameter: It does not begin with http:// or https:// and a host.
    """
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise click.BadParameter(f"{address!r} is no http:// or https:// address", param_hint="--service")


def _show(message: Message, channel: str) -> None:
    for call in message.calls:
        click.echo(f"call: {call.status} {call.url}{f' ({call.problem})' if call.problem else ''}", err=True)
    if message.aborted is not None:
        click.echo(f"not sent, the template aborted: {message.aborted}", err=True)
        return
    text = message.text if channel == "email" else message.text.strip()
    if not text.strip():
        click.echo("the message is blank", err=True)
    click.echo(text)


def job_for(file: Path, user_id: str, attributes: tuple[str, ...], blocks: Mapping[str, str]) -> Job:
    """A template's job.

    Raises:
        BadParameter: An attribute is not NAME=VALUE.
        ConfigurationError: The file is not UTF-8.
    """
    own: dict[str, object] = {"user_id": user_id}
    namespaces: dict[str, dict[str, object]] = {}
    for one in attributes:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{one!r} is not NAME=VALUE", param_hint="--attribute")
        namespace, dot, inner = name.partition(".")
        if dot:
            namespaces.setdefault(namespace, {})[inner] = value
        else:
            own[name] = value
    return Job(_text(file), own, namespaces, blocks)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")  # Windows puts a mark before the first line, which would be sent
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: is not UTF-8: {error.reason} at byte {error.start}") from error


def credentials() -> dict[str, str]:
    """The headers that a stored credential sends."""
    access = load(AccessSettings, allow_anonymous=True)  # the service may be open, this is its client
    headers = {}
    if access.basic_auth_pair:
        headers["Authorization"] = "Basic " + b64encode(access.basic_auth_pair.encode()).decode()
    if access.api_key_list:
        headers["X-API-Key"] = access.api_key_list[0]
    return headers
