"""The manifests name only what exists, and keep what the pages promise.

The overlays are put together by kustomize, as `kubectl apply -k` does; without kubectl their files are only
checked one by one.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotated_types import Le
from fastapi.routing import APIRoute

from service.api import admin, answers
from service.catalog.refresh import MAX_INTERVALS_SKIPPED
from service.console.room import ROUTERS
from service.constants import DEFAULT_DEADLINE_SECONDS
from service.server import SERVER, finishing_seconds
from service.settings import Settings
from service.wiring.answer_report import REPORT_SECONDS
from service.wiring.campaign import CLOSING_SECONDS

ROOT = Path(__file__).parents[2]
FINISHING_SECONDS = finishing_seconds(DEFAULT_DEADLINE_SECONDS) + min(CLOSING_SECONDS, DEFAULT_DEADLINE_SECONDS)
"""Accepted requests, then transactions that nobody waits for; none takes longer than the deadline."""

KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = ("embedded", "redis")
VERSIONS = ("1.30", "latest")
IMPORTANT = {
    "PERSONALIZE_CAMPAIGN_ARN",
    "PERSONALIZE_TPS",
    "SIMILAR_ITEMS_CAMPAIGN_ARN",
    "RANKING_CAMPAIGN_ARN",
    "PLACEMENTS_FILE",
    "CATALOG_URL",
    "CACHE_MAX_MB",
    "DRAIN_SECONDS",
    "EXPECTED_REPLICAS",
}
ACTIONS = {
    "get_recommendations": "personalize:GetRecommendations",
    "get_personalized_ranking": "personalize:GetPersonalizedRanking",
    "head_object": "s3:GetObject",
    "get_object": "s3:GetObject",
    "describe_table": "dynamodb:DescribeTable",
    "scan": "dynamodb:Scan",
    "batch_get_item": "dynamodb:BatchGetItem",
}
"""Which right each call of the SDK needs. Source: IAM's service authorization reference."""

SECRETS = {"API_KEYS", "BASIC_AUTH", "ADMIN_KEYS", "USER_KEY_SECRET", "REDIS_URL"}
NAME = {"app.kubernetes.io/name": "personalize-connect"}

Manifest = dict[str, Any]

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed: overlays are not put together"
)


class _Template(yaml.SafeLoader):
    """CloudFormation's YAML: `!Ref x` becomes `{"Ref": x}`."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Manifest:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Template.add_multi_constructor("!", _intrinsic)


@cache
def ecs() -> Manifest:
    text = (ROOT / "deploy/ecs/template.yaml").read_text("utf-8")
    loaded: Manifest = yaml.load(text, _Template)  # noqa: S506  # a SafeLoader with CloudFormation's tags
    return loaded


def properties(resource: str) -> Manifest:
    found: Manifest = ecs()["Resources"][resource]["Properties"]
    return found


def ecs_container() -> Manifest:
    [container] = properties("TaskDefinition")["ContainerDefinitions"]
    return dict(container)


def ecs_environment() -> dict[str, Any]:
    return {pair["Name"]: pair["Value"] for pair in ecs_container()["Environment"]}


def read(path: Path) -> Manifest:
    loaded: Manifest = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def files() -> Iterator[Path]:
    """Manifests that are whole: not patches, and not kustomize's own."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name != "kustomization.yaml" and not path.stem.endswith("-patch"):
            yield path


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / name)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(yaml.safe_load_all(run.stdout))


def one(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    [found] = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod(manifests: tuple[Manifest, ...]) -> Manifest:
    spec: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def kubernetes_settings() -> set[str]:
    names = set(read(KUBERNETES / "secret.example.yaml")["stringData"])
    for path in KUBERNETES.rglob("*.env"):
        names |= set(env_file(path))
    for path in KUBERNETES.rglob("deployment*.yaml"):
        [container] = read(path)["spec"]["template"]["spec"]["containers"]
        names |= {variable["name"] for variable in container.get("env", [])}
    return names


def ecs_settings() -> set[str]:
    container = ecs_container()
    return {variable["Name"] for variable in container["Environment"] + container["Secrets"]}


@pytest.mark.parametrize("settings_of", [kubernetes_settings, ecs_settings], ids=["kubernetes", "ecs"])
def test_manifests_name_only_settings_that_exist_and_all_that_matter(settings_of: Callable[[], set[str]]) -> None:
    names = settings_of()
    known = {name.upper() for name in Settings.model_fields} | {"AWS_REGION"}

    assert names - known == set()
    assert (IMPORTANT | SECRETS | {"AWS_REGION"}) - names == set()


def test_the_service_takes_what_the_config_map_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for path in KUBERNETES.rglob("*.env"):
        for name, value in env_file(path).items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("API_KEYS", "an-api-key-of-these-tests")

    assert Settings().drain_seconds == 2


def test_no_manifest_holds_a_secret() -> None:
    template = read(KUBERNETES / "secret.example.yaml")["stringData"]
    plain = {variable["Name"] for variable in ecs_container()["Environment"]}

    assert set(template.values()) == {""}
    # Only those who hash all admin keys want it.
    assert set(template) == SECRETS | {"CONSOLE_SECRET"}
    assert not plain & SECRETS
    for path in KUBERNETES.rglob("*.env"):
        assert not set(env_file(path)) & SECRETS
    for path in KUBERNETES.rglob("kustomization.yaml"):
        assert "example" not in path.read_text("utf-8")


def assert_valid(manifest: object, version: str) -> None:
    """It is what this version of Kubernetes takes, without a field too many."""
    # Takes two seconds to import. It ships no type information.
    import kubernetes_validate  # type: ignore[import-untyped]  # noqa: PLC0415  # see above

    wanted = kubernetes_validate.latest_version() if version == "latest" else version
    kubernetes_validate.validate(manifest, wanted, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", list(files()), ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_each_manifest_is_valid(path: Path, version: str) -> None:
    assert_valid(read(path), version)


@pytest.mark.parametrize("folder", ["base", "components/placements", *(f"overlays/{name}" for name in OVERLAYS)])
def test_each_kustomization_names_every_file_beside_it(folder: str) -> None:
    kustomization = read(KUBERNETES / folder / "kustomization.yaml")
    named = {name for name in kustomization.get("resources", []) if name.endswith(".yaml")}
    named |= {patch["path"] for patch in kustomization.get("patches", [])}
    for generator in kustomization.get("configMapGenerator", []):
        named |= {*generator.get("envs", []), *generator.get("files", [])}

    beside = {path.name for path in (KUBERNETES / folder).iterdir()} - {"kustomization.yaml"}

    assert named == beside


def test_the_example_of_a_placements_file_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    folder = KUBERNETES / "components/placements"
    [container] = read(folder / "deployment-patch.yaml")["spec"]["template"]["spec"]["containers"]
    [mounted] = container["volumeMounts"]
    # In the pod it is the file of the ConfigMap, under the mount.
    assert container["env"] == [{"name": "PLACEMENTS_FILE", "value": f"{mounted['mountPath']}/placements.toml"}]
    monkeypatch.setenv("PLACEMENTS_FILE", str(folder / "placements.toml"))
    monkeypatch.setenv("CATALOG_URL", "file:///items.csv")
    monkeypatch.setenv("API_KEYS", "an-api-key-of-these-tests")

    assert list(Settings().placements) == ["for-you", "similar", "ranking"]


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_placements_as_a_component_go_with_every_overlay(name: str, tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    kustomization = tmp_path / "kubernetes/overlays" / name / "kustomization.yaml"
    kustomization.write_text(f"{kustomization.read_text('utf-8')}components: [../../components/placements]\n")
    command = ["kubectl", "kustomize", str(kustomization.parent)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    manifests = tuple(yaml.safe_load_all(run.stdout))

    # The others are valid, as the test of the whole overlay says.
    changed = [manifest for manifest in manifests if manifest not in overlay(name)]
    assert {manifest["kind"] for manifest in changed} == {"ConfigMap", "Deployment"}
    for version in VERSIONS:
        for manifest in changed:
            assert_valid(manifest, version)
    [volume] = [one for one in pod(manifests)["volumes"] if one["name"] == "placements"]
    maps = {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == "ConfigMap"}
    assert "placements.toml" in maps[volume["configMap"]["name"]]["data"]


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_each_overlay_is_valid_as_a_whole(name: str) -> None:
    manifests = overlay(name)

    for version in VERSIONS:
        for manifest in manifests:
            assert_valid(manifest, version)
    identities = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(identities) == len(set(identities))


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_that_selects_pods_selects_ours_only(name: str) -> None:
    manifests = overlay(name)
    deployment = one(manifests, "Deployment")["spec"]

    assert deployment["template"]["metadata"]["labels"] == NAME
    assert deployment["selector"]["matchLabels"] == NAME
    assert one(manifests, "Service")["spec"]["selector"] == NAME
    policies = [manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    assert [policy["podSelector"]["matchLabels"] for policy in policies] == [NAME] * len(policies)
    assert [spread["labelSelector"]["matchLabels"] for spread in pod(manifests)["topologySpreadConstraints"]] == [
        NAME
    ] * 2


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_pod_can_do_nothing_but_answer(name: str) -> None:
    spec = pod(overlay(name))
    [container] = spec["containers"]

    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_pod_reads_the_config_map_and_the_secret(name: str) -> None:
    manifests = overlay(name)
    [container] = pod(manifests)["containers"]
    config_map = one(manifests, "ConfigMap")["metadata"]["name"]

    sources = {kind: ref["name"] for source in container["envFrom"] for kind, ref in source.items()}

    assert sources == {"configMapRef": config_map, "secretRef": "personalize-connect"}
    assert config_map != "personalize-connect", "a changed setting must roll the pods"


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_pod_is_given_the_time_it_takes_to_stop(name: str) -> None:
    manifests = overlay(name)
    spec = pod(manifests)
    [container] = spec["containers"]
    pause = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = float(one(manifests, "ConfigMap")["data"]["DRAIN_SECONDS"])

    assert drain + FINISHING_SECONDS <= 10
    assert pause + drain + FINISHING_SECONDS < spec["terminationGracePeriodSeconds"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_pod_can_write_where_catalogues_are_copied_to(name: str) -> None:
    manifests = overlay(name)
    [container] = pod(manifests)["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}

    assert {one(manifests, "ConfigMap")["data"]["DATA_DIR"], "/tmp"} == mounts  # noqa: S108  # the pod's


@pytest.mark.processes
@needs_kubectl
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_volume_holds_five_million_items(name: str) -> None:
    manifests = overlay(name)
    [volume] = [volume for volume in pod(manifests)["volumes"] if volume["name"] == "data"]
    size = (
        volume["emptyDir"]["sizeLimit"]
        if "emptyDir" in volume
        else one(manifests, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"]
    )

    # docs/operate/deploy.md, Sizing: two copies of 502 MB and S3's 232 MB for each million.
    assert int(size.removesuffix("Gi")) * 2**30 > 5 * (2 * 502 + 232) * 1e6


def test_the_task_can_write_where_catalogues_are_copied_to() -> None:
    [mount] = ecs_container()["MountPoints"]
    data_dir = ecs_environment()["DATA_DIR"]

    assert mount == {"SourceVolume": "data", "ContainerPath": data_dir, "ReadOnly": False}
    assert properties("TaskDefinition")["Volumes"] == [{"Name": "data"}]
    # Fargate gives a volume to the owner that the image's VOLUME has.
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert f'VOLUME ["{data_dir}"]' in dockerfile
    # There is no other place for temporary files.
    assert f"TMPDIR={data_dir}\n" in dockerfile


@pytest.mark.processes
@needs_kubectl
def test_without_redis_there_is_never_a_second_replica() -> None:
    manifests = overlay("embedded")
    deployment = one(manifests, "Deployment")["spec"]
    [container] = pod(manifests)["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(manifests)["volumes"]}

    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert "HorizontalPodAutoscaler" not in {manifest["kind"] for manifest in manifests}
    data = volumes[mounts[one(manifests, "ConfigMap")["data"]["DATA_DIR"]]]
    claim = one(manifests, "PersistentVolumeClaim")["metadata"]["name"]
    assert data["persistentVolumeClaim"]["claimName"] == claim


@pytest.mark.processes
@needs_kubectl
def test_with_redis_the_replicas_are_the_autoscalers_and_one_may_go_at_a_time() -> None:
    manifests = overlay("redis")
    deployment = one(manifests, "Deployment")["spec"]
    [container] = pod(manifests)["containers"]

    assert "replicas" not in deployment
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert one(manifests, "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
    assert one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    # All on their own shares at once, they spend the whole budget and no more.
    most = one(manifests, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    surge = deployment["strategy"]["rollingUpdate"]["maxSurge"]
    assert one(manifests, "ConfigMap")["data"]["EXPECTED_REPLICAS"] == str(most + surge)
    # Not optional: a pod that cannot find Redis's address must not spend the whole budget.
    [redis] = [variable for variable in container["env"] if variable["name"] == "REDIS_URL"]
    assert redis["valueFrom"]["secretKeyRef"] == {"name": "personalize-connect", "key": "REDIS_URL"}


def test_the_ingress_shows_only_what_braze_calls() -> None:
    [rule] = read(KUBERNETES / "ingress.example.yaml")["spec"]["rules"]

    assert [path["path"] for path in rule["http"]["paths"]] == ["/recommendations", "/similar-items", "/ranking"]


@pytest.mark.processes
def test_cloudformation_has_nothing_to_say_about_the_template() -> None:
    linter = shutil.which("cfn-lint", path=ROOT / ".venv/bin") or "cfn-lint"
    command = [linter, "--non-zero-exit-code", "informational", "deploy/ecs/template.yaml"]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


def test_the_task_may_call_personalize_on_the_named_arns_only() -> None:
    resources = ecs()["Resources"]
    granted: dict[str, Any] = {}
    for name in ("AskMoreCampaigns", "TaskRole", "RankItems", "ReadCatalogObject", "ReadCatalogTable"):
        bare = resources[name]["Properties"]
        documents = [policy["PolicyDocument"] for policy in bare.get("Policies", [bare])]
        for statement in (statement for document in documents for statement in document["Statement"]):
            for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
                granted[action] = statement["Resource"]

    assert set(granted) == set(ACTIONS.values())
    assert "*" not in json.dumps(granted)
    assert resources["RankItems"]["Condition"] == "HasRanking"
    assert resources["AskMoreCampaigns"]["Condition"] == "HasMoreCampaigns"
    assert resources["ReadCatalogObject"]["Condition"] == "HasCatalogObject"
    assert resources["ReadCatalogTable"]["Condition"] == "HasCatalogTable"


def test_the_service_calls_amazon_for_nothing_else() -> None:
    adapters = [*(ROOT / "service/catalog").rglob("*.py"), *(ROOT / "service/personalize/sdk").glob("*.py")]
    called = {
        name
        for path in adapters
        for name in re.findall(r"await (?:self\._?)?client\.([a-z_]+)\(", path.read_text("utf-8"))
    }

    assert called - {"get", "close"} == set(ACTIONS)


def test_neither_autoscaling_nor_a_deployment_runs_more_tasks_than_the_service_expects() -> None:
    """J10."""
    assert properties("Scaling")["MaxCapacity"] == {"Ref": "MaxTasks"}
    assert ecs_environment()["EXPECTED_REPLICAS"] == {"FindInMap": ["WithDeployment", {"Ref": "MaxTasks"}, "Tasks"]}
    [bound] = [one.le for one in Settings.model_fields["expected_replicas"].metadata if isinstance(one, Le)]
    surge = properties("Service")["DeploymentConfiguration"]["MaximumPercent"] / 100
    expected = {int(most): int(one["Tasks"]) for most, one in ecs()["Mappings"]["WithDeployment"].items()}
    assert list(expected) == ecs()["Parameters"]["MaxTasks"]["AllowedValues"]
    assert [most for most, tasks in expected.items() if surge * most != tasks] == []
    assert bound >= max(expected.values())  # type: ignore[operator]  # the bound is a number


def test_the_load_balancer_forwards_only_what_is_there() -> None:
    routers = (answers.router, admin.router, *ROUTERS)
    served = (route.path for router in routers for route in router.routes if isinstance(route, APIRoute))
    routes = {re.sub(r"\{[^}]+\}", "*", path) for path in served}
    forwarded = {
        path
        for resource in ecs()["Resources"].values()
        if resource["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"
        for condition in resource["Properties"]["Conditions"]
        for path in condition.get("PathPatternConfig", {}).get("Values", [])
    }

    people = {"/users/*", "/items/*", "/console", "/console/*"}
    assert forwarded == {"/recommendations", "/similar-items", "/ranking", *people}
    assert all(any(fnmatch(route, path) for route in routes) for path in forwarded)


def test_the_alarms_wait_for_events_that_are_logged() -> None:
    patterns = [
        resource["Properties"]["FilterPattern"]
        for resource in ecs()["Resources"].values()
        if resource["Type"] == "AWS::Logs::MetricFilter"
    ]
    page = (ROOT / "docs/operate/metrics.md").read_text("utf-8").partition("## Logs")[2]

    events = {event for pattern in patterns for event in re.findall(r'\$\.event = "([^"]+)"', pattern)}
    assert events == {"answers_counted", "catalog_not_replaced", "redis_down", "redis_refused"}
    assert [event for event in events if f"`{event}`" not in page] == []


def test_an_alarm_without_prometheus_looks_at_the_share_of_degraded_answers() -> None:
    """H10: its line is tried in tests/api/test_answer_report.py."""
    alarm = properties("DegradedShare")
    expression, *inputs = alarm["Metrics"]
    counted = {
        transformation["MetricName"]: transformation["MetricValue"]
        for name in ("AnswersCounted", "AnswersDegraded")
        for transformation in properties(name)["MetricTransformations"]
    }

    assert counted == {"answers": "$.answers", "degraded": "$.degraded"}
    assert {one["Id"]: one["MetricStat"]["Metric"]["MetricName"] for one in inputs} == {name: name for name in counted}
    assert {one["MetricStat"]["Period"] for one in inputs} == {REPORT_SECONDS}
    assert "100 * degraded / answers" in expression["Expression"]
    assert alarm["AlarmActions"][0]["If"][0] == "HasAlarmTopic"


def test_what_is_kept_is_encrypted_and_what_goes_out_is_named() -> None:
    """J10."""
    key = {"GetAtt": "Key.Arn"}
    for resource in ("Logs", "Redis", "RedisPassword", "RedisUrl"):
        assert properties(resource)["KmsKeyId"] == key, resource
    [secrets] = properties("ExecutionRole")["Policies"]
    assert any(one["Action"] == "kms:Decrypt" for one in secrets["PolicyDocument"]["Statement"])
    for group in ("LoadBalancerGroup", "ServiceGroup", "RedisGroup"):
        for rule in properties(group)["SecurityGroupEgress"]:
            assert "If" in rule or {rule["FromPort"], rule["ToPort"]} <= {443, 6379}, group
            assert rule.get("CidrIp") != "0.0.0.0/0", group
    assert properties("ServiceFromLoadBalancer")["DestinationSecurityGroupId"] == {"Ref": "ServiceGroup"}


def test_the_load_balancer_logs_each_call_into_a_bucket_that_forgets() -> None:
    """J10: a call's line names the user."""
    attributes = {pair["Key"]: pair["Value"] for pair in properties("LoadBalancer")["LoadBalancerAttributes"]}
    bucket = properties("AccessLogs")

    assert attributes["access_logs.s3.enabled"] == "true"
    assert attributes["access_logs.s3.bucket"] == {"Ref": "AccessLogs"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == {"Ref": "LogRetentionDays"}


def test_the_alarm_for_the_catalogue_does_not_flap_between_two_tries() -> None:
    longest = MAX_INTERVALS_SKIPPED * Settings.model_fields["catalog_refresh_seconds"].default

    assert properties("CatalogNotReplaced")["Period"] > longest


def test_only_the_load_balancer_and_prometheus_reach_the_tasks() -> None:
    balancer, prometheus = properties("ServiceGroup")["SecurityGroupIngress"]

    assert balancer["SourceSecurityGroupId"] == {"Ref": "LoadBalancerGroup"}
    condition, rule, otherwise = prometheus["If"]
    assert (condition, otherwise) == ("HasPrometheus", {"Ref": "AWS::NoValue"})
    assert rule["SourceSecurityGroupId"] == {"Ref": "PrometheusGroupId"}
    assert {balancer["ToPort"], rule["ToPort"]} == {Settings.model_fields["port"].default}


def test_replicas_reach_each_other_at_the_port_of_their_links_and_nobody_else_does() -> None:
    port = int(ecs_environment()["REPLICA_LINKS_PORT"])
    group = {"Ref": "ServiceGroup"}
    in_, out = properties("ReplicaFromReplica"), properties("ReplicaToReplica")
    assert (in_["GroupId"], in_["SourceSecurityGroupId"], in_["FromPort"], in_["ToPort"]) == (group, group, port, port)
    assert (out["GroupId"], out["DestinationSecurityGroupId"], out["FromPort"]) == (group, group, port)

    policy = read(KUBERNETES / "overlays/redis/networkpolicy-replicas.yaml")["spec"]
    settings = (KUBERNETES / "overlays/redis/settings.env").read_text("utf-8").splitlines()
    others = [{"podSelector": policy["podSelector"]}]
    assert policy["ingress"] == [{"from": others, "ports": [{"port": port, "protocol": "TCP"}]}]
    assert policy["egress"] == [{"to": others, "ports": [{"port": port, "protocol": "TCP"}]}]
    assert f"REPLICA_LINKS_PORT={port}" in settings


def test_the_task_is_confined_and_given_the_time_it_takes_to_stop() -> None:
    container = ecs_container()
    drain = float(ecs_environment()["DRAIN_SECONDS"])

    assert container["User"] == "10001:10001"
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert drain + FINISHING_SECONDS < container["StopTimeout"]


def test_redis_is_reached_over_tls_with_a_password() -> None:
    redis = properties("Redis")

    assert redis["TransitEncryptionEnabled"] is True
    assert "resolve:secretsmanager" in redis["AuthToken"]["Sub"]
    assert properties("RedisUrl")["SecretString"]["Sub"].startswith("rediss://:")


def test_the_load_balancer_closes_idle_connections_before_the_service_does() -> None:
    attributes = {pair["Key"]: pair["Value"] for pair in properties("LoadBalancer")["LoadBalancerAttributes"]}

    assert float(attributes["idle_timeout.timeout_seconds"]) < SERVER["timeout_keep_alive"]
    assert properties("Listener")["Protocol"] == "HTTPS"


def test_the_image_of_the_manifests_listens_where_they_look() -> None:
    [port] = re.findall(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    [container] = read(KUBERNETES / "base/deployment.yaml")["spec"]["template"]["spec"]["containers"]

    assert container["ports"][0]["containerPort"] == int(port)
    assert properties("TargetGroup")["Port"] == int(port)
    assert ecs_container()["PortMappings"][0]["ContainerPort"] == int(port)
    assert Settings.model_fields["port"].default == int(port)
