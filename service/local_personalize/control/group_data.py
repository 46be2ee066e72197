"""What a job or a campaign reads of a dataset group: files by type of dataset."""

from typing import Any

from service.local_personalize.control.names import name_in
from service.local_personalize.control.store import Store


def group_files(store: Store, group_arn: str) -> dict[str, Any]:
    """For each type of dataset its files, oldest first, and its schema; and where PutEvents and its siblings write."""
    datasets = {
        dataset["datasetType"]: {
            "files": dataset["_files"],
            "schema": (store.get(dataset["schemaArn"]) or {}).get("schema", ""),
        }
        for dataset in store.of("Dataset", datasetGroupArn=group_arn)
    }
    return {"datasets": datasets, "put": str(store.directory / "put" / name_in(group_arn))}
