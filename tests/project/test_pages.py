"""What the pages name exists: settings, commands and their options, files, headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from service.cli import main
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

NO_SETTINGS = {
    # Build arguments of the image, and the base images of Compose.
    *("VERSION", "REVISION", "CREATED", "SOURCE", "PYTHON_IMAGE", "REDIS_IMAGE"),
    # The SDKs', the command line's and the system's own.
    *("AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", "ADMIN_KEY", "TMPDIR", "SIGTERM", "SIGHUP"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"),
    # Amazon's names of columns.
    *("ITEM_ID", "USER_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "EVENT_ID", "IMPRESSION", "RECOMMENDATION_ID"),
    "SESSION_ID",
}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(page: Path) -> Iterator[str]:
    """Lines of code, in the text and in blocks."""
    text = page.read_text("utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    (\S.*)", text, re.MULTILINE)
    yield from re.findall(r"`([^`]+)`", text)


@every_page
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | NO_SETTINGS
    if page.name == "develop.md":
        # Its reader looks for constants too.
        source = "".join(path.read_text("utf-8") for path in (ROOT / "service").rglob("*.py"))
        known |= set(re.findall(r"^([A-Z][A-Z_]+)\b.* = ", source, re.MULTILINE))
    named = {name for code in code_of(page) for name in re.findall(r"^([A-Z]+_?[A-Z_]*[A-Z])(?:=|$)", code)}

    # Words such as GET and PUT are shorter.
    assert {name for name in named if len(name) > 6 or "_" in name} - known == set()


@every_page
def test_every_command_that_a_page_names_exists_with_its_options(page: Path) -> None:
    for code in code_of(page):
        # Kubernetes and Amazon have things of that name.
        inside = re.search(r"-c 'personalize-connect (.*)'$", code)
        if "personalize-connect " not in code or (inside is None and re.search(r"\b(kubectl|aws)\b|^--", code)):
            continue
        words = shlex.split(inside[1] if inside else code.partition("personalize-connect ")[2])
        command: click.Command = main
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, code
            command = found
        options = {"--help"} | {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, code


def anchors(page: Path) -> set[str]:
    """The headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if path.startswith("https://"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {
        name
        for code in code_of(page)
        for name in re.findall(
            r"^(?:python )?((?:deploy|docs|tools|tests|service|bench|sample|requirements)/\S*)", code
        )
    }

    assert [name for name in named if not (ROOT / name.rstrip("/")).exists()] == []


def options_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from options_of(found)


@every_page
def test_every_option_that_a_page_names_is_some_commands(page: Path) -> None:
    named = {name for code in code_of(page) for name in re.findall(r"^--[a-z0-9-]+", code)}

    # Docker's, and the benchmarks'.
    assert named - set(options_of(main)) - {"--build-arg", "--speed"} == set()
