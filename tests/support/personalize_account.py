"""A local Personalize with a control plane, whose time a test moves, and what AWS's notebooks do with it."""

import csv
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from service.local_personalize.app import create_app
from service.local_personalize.control.control_plane import ControlPlane
from service.local_personalize.control.quotas import DEFAULTS
from service.local_personalize.control.workers import ThisThread, Workers
from tests.support.answer_shapes import check_answers_of
from tests.support.local_personalize import LocalPersonalize, serving

ROLE = "arn:aws:iam::000000000000:role/personalize"
KINDS = ("camp", "cook", "code")

INTERACTIONS: dict[str, Any] = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
        {"name": "EVENT_TYPE", "type": "string"},
    ],
    "version": "1.0",
}
ITEMS: dict[str, Any] = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "CATEGORY", "type": ["string", "null"], "categorical": True},
        {"name": "PRICE", "type": "float"},
        {"name": "DESCRIPTION", "type": ["string", "null"], "textual": True},
    ],
    "version": "1.0",
}
USERS: dict[str, Any] = {
    "type": "record",
    "name": "Users",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": ["int", "null"]}],
    "version": "1.0",
}


@dataclass
class Clock:
    """Epoch seconds that stand still until a test moves them."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Account:
    """The clients of the three services, and short ways to what most tests need."""

    server: LocalPersonalize
    clock: Clock
    control: ControlPlane
    folder: Path
    clients: ExitStack
    """Closes those that were made: to make one takes longer than most of what a test asks of it."""

    made: dict[str, str] = field(default_factory=dict)

    @cached_property
    def personalize(self) -> Any:  # noqa: ANN401  # botocore makes the client's class at run time
        return self._client("personalize")

    @cached_property
    def runtime(self) -> Any:  # noqa: ANN401  # as above
        return self._client("personalize-runtime")

    @cached_property
    def events(self) -> Any:  # noqa: ANN401  # as above
        return self._client("personalize-events")

    def _client(self, service: str) -> Any:  # noqa: ANN401  # as above
        return self.clients.enter_context(closing(client(service, self.server.url)))

    def wait(self, minutes: float = 60) -> None:
        """Let Amazon's time pass."""
        self.clock.now += minutes * 60

    def order(self, **mishap: object) -> None:
        self.server.http.post("/_faults", json={"of": "control", **mishap}).raise_for_status()

    def schema(self, name: str, fields: dict[str, Any], **more: object) -> str:
        arn: str = self.personalize.create_schema(name=name, schema=json.dumps(fields), **more)["schemaArn"]
        return arn

    def group(self, name: str = "shop", **more: object) -> str:
        arn: str = self.personalize.create_dataset_group(name=name, **more)["datasetGroupArn"]
        self.wait()
        return arn

    def dataset(self, group: str, kind: str, schema: dict[str, Any]) -> str:
        schema_arn = self.schema(f"{kind}-{len(self.made)}", schema)
        answer = self.personalize.create_dataset(
            name=kind, schemaArn=schema_arn, datasetGroupArn=group, datasetType=kind
        )
        self.wait()
        self.made[kind] = answer["datasetArn"]
        return self.made[kind]

    def load(self, dataset: str, location: str, *, name: str = "load", **more: object) -> dict[str, Any]:
        arn = self.personalize.create_dataset_import_job(
            jobName=name, datasetArn=dataset, dataSource={"dataLocation": location}, roleArn=ROLE, **more
        )["datasetImportJobArn"]
        self.wait()
        job: dict[str, Any] = self.personalize.describe_dataset_import_job(datasetImportJobArn=arn)["datasetImportJob"]
        return job

    def shop(self, *, people: int = 150) -> str:
        """A group with a shop of three tastes in it: campers, cooks and coders buy their own kind."""
        files = write_shop(self.folder, people=people)
        group = self.group()
        for kind, schema in (("Interactions", INTERACTIONS), ("Items", ITEMS), ("Users", USERS)):
            job = self.load(self.dataset(group, kind, schema), f"file://{files[kind]}", name=f"{kind}-load")
            assert job["status"] == "ACTIVE", job
        return group

    def version(self, group: str, recipe: str, *, name: str | None = None, **more: object) -> str:
        solution = self.personalize.create_solution(
            name=name or recipe,
            datasetGroupArn=group,
            recipeArn=f"arn:aws:personalize:::recipe/{recipe}",
            performAutoTraining=False,
            **more,
        )["solutionArn"]
        self.wait()
        return self.again(solution)

    def again(self, solution: str) -> str:
        """One more version of a solution, trained."""
        arn: str = self.personalize.create_solution_version(solutionArn=solution)["solutionVersionArn"]
        self.wait(300)
        return arn

    def campaign(self, version: str, name: str = "for-you", **more: object) -> str:
        arn: str = self.personalize.create_campaign(
            name=name, solutionVersionArn=version, **{"minProvisionedTPS": 500, **more}
        )["campaignArn"]
        self.wait()
        return arn

    def ids(self, campaign: str, **call: object) -> list[str]:
        answer = self.runtime.get_recommendations(campaignArn=campaign, **call)
        return [item["itemId"] for item in answer["itemList"]]


def write_shop(folder: Path, *, people: int) -> dict[str, Path]:
    """The CSV files of a shop in which everybody but a few stays with one kind of 20 items."""
    chance = random.Random(7)
    rows = ["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE"]
    for person in range(people):
        kind = KINDS[person % len(KINDS)]
        for step in range(10):
            place = min(chance.randrange(20), chance.randrange(20))
            bought = kind if chance.random() < 0.95 else chance.choice(KINDS)
            event = "Purchase" if step % 5 == 4 else "View"
            rows.append(f"{kind}{person},{bought}-{place},{1_700_000_000 + person * 1000 + step * 60},{event}")
    files = {kind: folder / f"{kind.lower()}.csv" for kind in ("Interactions", "Items", "Users")}
    files["Interactions"].write_text("\n".join(rows) + "\n", encoding="utf-8")
    with files["Items"].open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ITEM_ID", "CATEGORY", "PRICE", "DESCRIPTION"])
        for kind in KINDS:
            writer.writerows([f"{kind}-{n}", kind, n + 1, f"something to {kind} with, {kind}ing"] for n in range(20))
    people_rows = [f"{KINDS[person % 3]}{person},{20 + person % 50}" for person in range(people)]
    files["Users"].write_text("USER_ID,AGE\n" + "\n".join(people_rows) + "\n", encoding="utf-8")
    return files


@contextmanager
def opened_account(
    folder: Path,
    *,
    workers: Workers | None = None,
    clock: Clock | None = None,
    quotas: Mapping[str, int] = DEFAULTS,
    speed: float = 1,
) -> Iterator[Account]:
    """An account whose state is in the folder; without workers its jobs are done in the server's thread."""
    clock = clock or Clock()
    control = ControlPlane(
        folder / "state", workers=workers or ThisThread(), speed=speed, wall_clock=clock, quotas=quotas
    )
    try:
        with serving(create_app(None, tps=0, latency_ms=0, control=control)) as server, ExitStack() as stack:
            yield Account(server=server, clock=clock, control=control, folder=folder, clients=stack)
    finally:
        control.close()


def client(service: str, url: str) -> Any:  # noqa: ANN401  # botocore makes the client's class at run time
    made = boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, user_agent="tests"),
    )
    check_answers_of(made)
    return made
