"""The commands of the runbook can be typed as they stand."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operate/runbook.md").read_text("utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

GLOBAL_OPTIONS = {"query", "output"}

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def sections() -> dict[str, str]:
    return dict(re.findall(r"^## (\w+)\n+(.+?)(?=\n## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def calls_of(command: str) -> Iterator[list[str]]:
    """The words behind each call of a command, up to the end of its line or of its part of a pipe."""
    for line in "\n".join(BLOCKS).splitlines():
        for rest in re.findall(rf"(?:^|[({{;] ?|xargs -r ){command} (?=(.+))", line):
            # What runs inside a word is a call of its own.
            lexer = shlex.shlex(
                re.sub(r"\$\(\(.*?\)\)|\$\([^()]*\)", "inner", rest), posix=True, punctuation_chars="|;)"
            )
            lexer.whitespace_split = True
            words = list(lexer)
            end = next((number for number, word in enumerate(words) if set(word) <= set("|;)")), len(words))
            yield words[:end]


def test_every_alerts_section_answers_the_five_questions() -> None:
    """H12."""
    assert len(sections()) == 19
    for name, text in sections().items():
        asked = re.findall(r"^\*\*(Users see|Can it wait\?|Look|Mend|Over when)\*\*", text, re.MULTILINE)

        assert asked == ["Users see", "Can it wait?", "Look", "Mend", "Over when"], name


@pytest.mark.processes
@needs_bash
@pytest.mark.parametrize("block", BLOCKS)
def test_bash_can_read_every_block(block: str) -> None:
    run = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


def test_every_command_of_aws_exists_with_its_options() -> None:
    session = botocore.session.Session()
    calls = list(calls_of("aws"))

    assert len(calls) > 10
    for service, operation, *words in calls:
        if (service, operation) == ("cloudformation", "deploy"):
            continue  # the command line's own, which no model knows
        model = session.get_service_model(service.removesuffix("api") if service == "s3api" else service)
        [name] = [one for one in model.operation_names if xform_name(one, "-") == operation]
        shape = model.operation_model(name).input_shape
        members = {xform_name(one, "-") for one in shape.members} if shape is not None else set()
        options = {word.removeprefix("--") for word in words if word.startswith("--")}
        assert options <= members | GLOBAL_OPTIONS, f"{service} {operation}"


def test_every_event_that_is_looked_for_is_logged() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "service").rglob("*.py"))
    wanted = {words[0] for words in calls_of("events")}

    assert len(wanted) > 5
    assert [event for event in wanted if f'"{event}"' not in source] == []


def test_every_parameter_and_resource_of_the_stack_exists() -> None:
    template = (ROOT / "deploy/ecs/template.yaml").read_text("utf-8")
    parameters, resources = (
        set(re.findall(r"^  (\w+):$", part, re.MULTILINE))
        for part in re.fullmatch(
            r".*^Parameters:(.*)^Rules:.*^Resources:(.*)", template, re.DOTALL | re.MULTILINE
        ).groups()  # type: ignore[union-attr]  # no match fails
    )

    assert {words[0].partition("=")[0] for words in calls_of("stack") if words} <= parameters
    assert set(re.findall(r"\$\(resource (\w+)\)", PAGE)) <= resources


def test_every_object_of_kubernetes_that_is_named_is_in_the_manifests() -> None:
    manifests = [
        one
        for path in (ROOT / "deploy/kubernetes").rglob("*.yaml")
        for one in yaml.safe_load_all(path.read_text("utf-8"))
        if "kind" in one
    ]
    there = {(one["kind"].lower(), one["metadata"]["name"]) for one in manifests if "metadata" in one}
    kinds = {"hpa": "horizontalpodautoscaler"}
    named = set(re.findall(r"\b(deployment|hpa|secret)[/ ](personalize-connect)\b", "\n".join(BLOCKS)))

    assert len(named) == 3
    assert {(kinds.get(kind, kind), name) for kind, name in named} <= there


def test_every_service_of_compose_that_is_named_exists() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    # The last word of a command that names one; `exec` has the command behind it.
    named = re.findall(r"docker compose (?:exec|restart|kill --signal HUP|logs [^|]*?) ?(service|redis)\b", PAGE)

    assert set(named) == {"service", "redis"}
    assert set(named) <= set(services)
