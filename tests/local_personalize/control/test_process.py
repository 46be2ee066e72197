"""The real process: jobs in children, and a state that a kill cannot harm."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.personalize_account import INTERACTIONS, ROLE, client, write_shop
from tests.support.ports import free_port
from tests.support.processes import Process, running
from tests.support.waiting import wait_until

SPEED = 60_000


@contextmanager
def _local_personalize(state: Path) -> Iterator[Process]:
    port = free_port()
    command = [sys.executable, "-m", "service.local_personalize", "--port", str(port)]
    command += ["--state", str(state), "--speed", str(SPEED)]
    with running(command, port=port, probe="/_health") as process:
        yield process


def _until(describe: Any, wanted: str = "ACTIVE") -> None:  # noqa: ANN401  # botocore makes the client's class at run time
    def is_settled() -> bool:
        described = describe()
        assert "FAILED" not in described["status"], described
        return bool(described["status"] == wanted)

    wait_until(is_settled, seconds=60)


@pytest.mark.processes
def test_a_training_that_a_kill_cut_off_is_done_after_the_next_start(tmp_path: Path) -> None:
    files = write_shop(tmp_path, people=150)
    with _local_personalize(tmp_path / "state") as process:
        sdk = client("personalize", process.url)
        group = sdk.create_dataset_group(name="shop")["datasetGroupArn"]
        _until(lambda: sdk.describe_dataset_group(datasetGroupArn=group)["datasetGroup"])
        schema = sdk.create_schema(name="events", schema=json.dumps(INTERACTIONS))["schemaArn"]
        dataset = sdk.create_dataset(
            name="events", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions"
        )["datasetArn"]
        _until(lambda: sdk.describe_dataset(datasetArn=dataset)["dataset"])
        job = sdk.create_dataset_import_job(
            jobName="load",
            datasetArn=dataset,
            dataSource={"dataLocation": f"file://{files['Interactions']}"},
            roleArn=ROLE,
        )["datasetImportJobArn"]
        _until(lambda: sdk.describe_dataset_import_job(datasetImportJobArn=job)["datasetImportJob"])
        solution = sdk.create_solution(
            name="for-you",
            datasetGroupArn=group,
            recipeArn="arn:aws:personalize:::recipe/aws-user-personalization",
            performAutoTraining=False,
        )["solutionArn"]
        _until(lambda: sdk.describe_solution(solutionArn=solution)["solution"])
        version = sdk.create_solution_version(solutionArn=solution)["solutionVersionArn"]
        process.kill()
        sdk.close()

    with _local_personalize(tmp_path / "state") as process:
        sdk, runtime = client("personalize", process.url), client("personalize-runtime", process.url)
        _until(lambda: sdk.describe_solution_version(solutionVersionArn=version)["solutionVersion"])
        campaign = sdk.create_campaign(name="for-you", solutionVersionArn=version, minProvisionedTPS=10)["campaignArn"]
        _until(lambda: sdk.describe_campaign(campaignArn=campaign)["campaign"])
        found = runtime.get_recommendations(campaignArn=campaign, userId="cook1", numResults=5)["itemList"]
        assert found[0]["itemId"].startswith("cook")
        sdk.close()
        runtime.close()
