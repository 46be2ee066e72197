import ast
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import botocore
import pytest
import yaml
from prometheus_client import CollectorRegistry

from service.api.connection_metrics import ConnectionMetrics
from service.api.connections import Connections
from service.api.refusals import Refusals
from service.settings import Settings
from service.telemetry import Telemetry

ROOT = Path(__file__).parents[2]


def text_of(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in (ROOT / "service").rglob("*.py")}


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^ ;]+)", text_of(lock), re.MULTILINE))


@pytest.mark.parametrize(
    "lock", [f"requirements/{name}.txt" for name in ("runtime", "liquid", "otel", "pipeline", "plot", "dev", "build")]
)
def test_every_locked_file_has_a_hash_and_none_an_address(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", text_of(lock))

    assert len(entries) > 1
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text_of(lock)
    assert not re.search(r"^\s*(-i|-f|--[a-z-]*(index|find-links|trusted-host))", text_of(lock), re.MULTILINE)


def test_the_locks_agree_with_each_other() -> None:
    names = ("runtime", "liquid", "otel", "pipeline", "plot", "dev", "build")
    runtime, liquid, otel, pipeline, plot, dev, build = (pins(f"requirements/{name}.txt") for name in names)

    assert runtime.items() < liquid.items() < otel.items() <= dev.items()
    assert liquid.items() < plot.items() <= dev.items()
    assert liquid.items() < pipeline.items() <= dev.items()
    assert {name: version for name, version in build.items() if dev.get(name, version) != version} == {}


@pytest.mark.long
def test_every_package_that_the_service_imports_is_a_dependency_by_name() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    listed = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    named = {re.split(r"[^a-z0-9-]", one)[0] for one in listed}
    imported = {
        name.partition(".")[0]
        for path, tree in trees().items()
        for node in ast.walk(tree)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else imports(node))
    }
    packages = packages_distributions()

    outside = imported - set(sys.stdlib_module_names) - {"service", ""}

    assert {
        name for name in outside if named.isdisjoint(one.lower().replace("_", "-") for one in packages[name])
    } == set()


def imports(node: ast.AST) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


@pytest.mark.processes
def test_the_contracts_make_targets_exist() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {"run", "install", "test", "check", "bench"} <= set(re.findall(r"^  make ([a-z]+) ", listed, re.MULTILINE))


def test_the_image_keeps_only_services_that_the_sdk_knows() -> None:
    kept = re.findall(r"! -name ([a-z0-9-]+)", text_of("Dockerfile"))
    data = Path(botocore.__file__).parent / "data"

    assert "personalize-runtime" in kept
    assert [name for name in kept if not (data / name).is_dir()] == []


def test_no_line_names_a_package_of_ours_on_an_index() -> None:
    """H3: there is none. Of what is not installed, the lines say which file to install."""
    named = re.compile(r"pip install ['\"]?personalize-connect|personalize-connect\[")
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "service").rglob("*.py"), ROOT / "README.md"]

    assert [path.name for path in pages if named.search(path.read_text("utf-8"))] == []
    # What the image is built from reaches the engine.
    ignored = text_of(".dockerignore")
    locks = re.findall(r"MissingPackage\([^)]*\"(\w+)\"\)", "".join(path.read_text("utf-8") for path in pages))
    assert {"liquid", "pipeline"} <= set(locks)
    assert [lock for lock in (*locks, "otel", "plot") if f"!requirements/{lock}.txt" not in ignored] == []


def test_the_image_keeps_every_service_that_the_code_asks() -> None:
    """Without its description the SDK has no client: events were accepted in the image and never sent on."""
    makers = {"AwsClient", "blocking_client", "client", "create_client", "regions_of"}
    data = Path(botocore.__file__).parent / "data"
    asked = {"personalize-runtime"}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in makers:
                asked |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}

    kept = set(re.findall(r"! -name ([a-z0-9-]+)", text_of("Dockerfile")))

    assert {"personalize", "personalize-events", "s3", "dynamodb", "sts"} <= asked
    assert {name for name in asked if (data / name).is_dir()} - kept == set()


def test_the_compose_file_listens_where_it_is_asked_to_and_starts_again_what_crashed() -> None:
    """H14, J10: base images can be named by their digest."""
    services = yaml.safe_load(text_of("docker-compose.yml"))["services"]

    assert {name: one["restart"] for name, one in services.items()} == dict.fromkeys(services, "unless-stopped")
    assert services["service"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    assert "http://127.0.0.1:${PORT:-8000}/" in services["service"]["environment"]["CATALOG_COLUMNS"]
    assert services["redis"]["image"] == "${REDIS_IMAGE:-redis:7-bookworm}"
    [base] = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", text_of("Dockerfile"), re.MULTILINE)
    assert services["service"]["build"]["args"]["PYTHON_IMAGE"] == f"${{PYTHON_IMAGE:-{base}}}"


def test_the_compose_file_sets_only_what_the_service_reads() -> None:
    [environment] = re.findall(r"    environment:\n((?:      .*\n)+)", text_of("docker-compose.yml"))
    names = set(re.findall(r"^      ([A-Z_]+):", environment, re.MULTILINE))

    assert {name for name in names if not name.startswith("AWS_")} <= settings_names()


def test_the_readme_lists_every_setting() -> None:
    table = text_of("README.md").partition("## Settings")[2].partition("## Commands")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = set(chain.from_iterable(re.findall(r"`([A-Z_]+)`", row) for row in rows))

    assert {name for name in listed if not name.startswith("AWS_")} == settings_names()


def test_the_metrics_page_lists_every_metric_of_the_contract_and_of_the_code() -> None:
    table = text_of("docs/operate/metrics.md").partition("## Metrics")[2].partition("## Logs")[0]
    listed = {name.partition("{")[0] for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)}
    telemetry = Telemetry()
    telemetry.build("1.0.0", "")
    registry = telemetry.registry
    registry.register(ConnectionMetrics(Connections()))
    registry.register(Refusals(time.monotonic))
    declared = set(metric_names(registry))
    declared |= set(re.findall(r'gauges?\(\s*"([a-z_]+)"', text_of("service/wiring/replica.py")))
    declared |= set(re.findall(r'gauges?\(\s*"([a-z_]+)"', text_of("service/wiring/gauges.py")))

    assert listed == declared


def test_the_metrics_page_lists_every_log_event() -> None:
    table = text_of("docs/operate/metrics.md").partition("## Logs")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = set(chain.from_iterable(re.findall("`([^`]+)`", row) for row in rows))
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "service").rglob("*.py") if "local_personalize" not in path.parts
    )
    logged = set(re.findall(r"\b_log(?:ger)?\.(?:info|warning|error|exception)\(\s*\"([^\"]+)\"", source))

    assert len(logged) > 10
    assert listed == logged


def settings_names() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def metric_names(registry: CollectorRegistry) -> Iterator[str]:
    for metric in registry.collect():
        yield metric.name + "_total" if metric.type == "counter" else metric.name


def test_a_file_of_more_than_300_lines_says_why_in_its_first_lines() -> None:
    long = {
        path: text for path in (ROOT / "service").rglob("*.py") if (text := path.read_text("utf-8")).count("\n") > 300
    }

    assert [str(path.relative_to(ROOT)) for path, text in long.items() if "Longer than" not in text[:2_000]] == []
