import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from service.api.connection_metrics import ConnectionMetrics
from service.api.connections import Connections
from service.api.refusals import STATUSES, Refusals
from service.telemetry import LABELS, Telemetry

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
RUNBOOK = ROOT / "docs/operate/runbook.md"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
SAMPLE_SUFFIXES = ("_bucket", "_count", "_sum")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed; Debian's package prometheus has it"
)


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return listed


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def collected() -> list[Metric]:
    telemetry = Telemetry()
    telemetry.build("1.0.0", "")
    telemetry.registry.register(ConnectionMetrics(Connections()))
    telemetry.registry.register(Refusals(time.monotonic))
    return list(telemetry.registry.collect())


def declared() -> set[str]:
    """Every name under which Prometheus keeps one of our metrics."""
    wiring = "".join(path.read_text("utf-8") for path in (ROOT / "service/wiring").glob("*.py"))
    names = set(re.findall(r'gauges?\(\s*"([a-z_]+)"', wiring))
    for metric in collected():
        if metric.type == "counter":
            names.add(f"{metric.name}_total")
        elif metric.type == "histogram":
            names.update(metric.name + suffix for suffix in SAMPLE_SUFFIXES)
        else:
            names.add(metric.name)
    return names


def asked_for(query: str) -> set[str]:
    """The metrics of a query: words that are neither label names nor the language's own."""
    outside_labels = re.sub(r"\{[^}]*\}|\bby \([^)]*\)|\[[^\]]*\]", "", query)
    return {word for word in re.findall(r"[a-z_]{3,}", outside_labels) if "_" in word} - {
        "histogram_quantile",
        "max_over_time",
        "clamp_min",
    }


def labels_of(query: str) -> Iterator[tuple[str, str, str]]:
    for metric, selector in re.findall(r"([a-z_]+)\{([^}]*)\}", query):
        for label, value in re.findall(r'([a-z_]+)[=!]~?"([^"]*)"', selector):
            yield metric, label, value


def runbook() -> dict[str, str]:
    """What the runbook says for each alert, by heading."""
    return dict(re.findall(r"^## (\w+)\n+(.+?)(?=\n## |\Z)", RUNBOOK.read_text("utf-8"), re.MULTILINE | re.DOTALL))


def runbook_queries() -> list[str]:
    return re.findall(r"^query '(.+)'$", RUNBOOK.read_text("utf-8"), re.MULTILINE)


def all_queries() -> list[str]:
    return [rule["expr"] for rule in alerts()] + dashboard_queries() + runbook_queries()


def test_every_alert_panel_and_runbook_asks_for_metrics_that_exist() -> None:
    queries = all_queries()

    assert len(queries) > 40
    for query in queries:
        assert asked_for(query), query
        assert asked_for(query) <= declared(), query


def test_the_dashboard_shows_every_metric() -> None:
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in declared()}
    shown = {re.sub("_(bucket|count|sum)$", "", name) for query in dashboard_queries() for name in asked_for(query)}

    assert families - shown == set()


def test_the_queries_select_by_labels_and_values_that_exist() -> None:
    values = {
        **{label: set(values) for label, values in LABELS.items()},
        "le": {"1.5"},
        "status": set(STATUSES),
        "job": {"$job"},
        "placement": {"$placement"},
    }
    for query in all_queries():
        for metric, label, value in labels_of(query):
            assert set(value.split("|")) <= values[label], f"{metric}{{{label}}} in {query}"


def test_the_late_alert_looks_at_a_bucket_that_exists() -> None:
    [query] = [rule["expr"] for rule in alerts() if rule["alert"] == "RecommendationsLate"]
    [bound] = re.findall(r'le="([^"]+)"', query)
    buckets = [
        sample.labels["le"]
        for metric in Telemetry().registry.collect()
        if metric.name == "recommendations_request_duration_seconds"
        for sample in metric.samples
        if sample.name.endswith("_bucket")
    ]

    assert bound in buckets


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    names = [rule["alert"] for rule in alerts()]

    assert len(names) == len(set(names))
    assert set(runbook()) == set(names)
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/operate/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_no_two_panels_share_an_id_or_a_place() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)


@pytest.mark.processes
@needs_promtool
def test_every_alert_speaks_on_its_bad_day_and_is_silent_on_a_good_one() -> None:
    cases = ROOT / "tests/deploy/alerts_test.yaml"

    run = subprocess.run(["promtool", "test", "rules", cases], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    tests = yaml.safe_load(cases.read_text("utf-8"))["tests"]
    spoken = {case["alertname"] for test in tests for case in test["alert_rule_test"] if "exp_alerts" in case}
    assert spoken == {rule["alert"] for rule in alerts()}


@pytest.mark.processes
@needs_promtool
def test_prometheus_takes_the_documented_scrape_config(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/operate/metrics.md").read_text("utf-8"), re.DOTALL)
    deployment = ROOT / "deploy/kubernetes/base/deployment.yaml"
    file = tmp_path / "prometheus.yml"
    # Debian's promtool is built without Kubernetes.
    file.write_text(block.replace("kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: []}]"))

    run = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", file], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr
    [job] = yaml.safe_load(block)["scrape_configs"]
    # One target for each pod: there is one port.
    [container] = yaml.safe_load(deployment.read_text("utf-8"))["spec"]["template"]["spec"]["containers"]
    assert len(container["ports"]) == 1
    assert job["kubernetes_sd_configs"] == [{"role": "pod"}]


@pytest.mark.processes
@needs_promtool
def test_prometheus_understands_every_query_of_dashboard_and_runbook(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(dashboard_queries() + runbook_queries())
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    run = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
