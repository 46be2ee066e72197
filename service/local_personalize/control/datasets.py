"""Datasets: one of each type in a group."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from service.local_personalize.control import avro
from service.local_personalize.control.durations import UPDATE_MINUTES
from service.local_personalize.control.names import name_in
from service.local_personalize.control.refused import in_use, invalid_input
from service.local_personalize.control.resources import Call, Plane, Resources
from service.local_personalize.control.store import Record

UPDATE: Final = "latestDatasetUpdate"


class Datasets(Resources):
    """CreateDataset and its siblings.

    A record's `_files` are the CSV files that import jobs wrote, later ones on top of earlier ones.
    """

    noun: ClassVar[str] = "Dataset"

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        plane.transitions.on_end(self.noun, "UPDATE", self._take_schema)

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        group = self.plane.ready("DatasetGroup", call.fields["datasetGroupArn"])
        dataset_type = call.fields["datasetType"].upper()
        if dataset_type not in avro.REQUIRED:
            raise invalid_input(f"datasetType {call.fields['datasetType']} is not one of {', '.join(avro.REQUIRED)}.")
        self._check_schema(call.fields["schemaArn"], dataset_type, group)
        record = self.new(call, f"{name_in(group['_arn'])}/{dataset_type}", datasetType=dataset_type, _files=[])
        self.begin(record)
        return record

    def update(self, call: Call) -> dict[str, Any]:
        """See `Resources.update`: another schema, which has all fields of the one before."""
        record = self.plane.ready(self.noun, call.fields["datasetArn"])
        if record.get(UPDATE, {}).get("status", "").startswith("UPDATE ") and self.plane.transitions.is_going_on(
            record["_arn"]
        ):
            raise in_use(f"Dataset {record['_arn']} is being updated.")
        group = self.plane.found("DatasetGroup", record["datasetGroupArn"])
        new = self._check_schema(call.fields["schemaArn"], record["datasetType"], group)
        old = avro.parse_schema(self.plane.found("Schema", record["schemaArn"])["schema"])
        if lost := {column.name for column in old} - {column.name for column in new}:
            raise invalid_input(f"The new schema lacks the field {min(lost)} of the schema in use.")
        now = self.plane.durations.now()
        record[UPDATE] = {"schemaArn": call.fields["schemaArn"], "creationDateTime": now}
        self.plane.transitions.begin(record, verb="UPDATE", minutes=UPDATE_MINUTES, part=UPDATE)
        return record

    def users(self, record: Record) -> Iterator[Record]:
        """What reads the dataset: solutions of its group, and jobs at work on it."""
        if record["datasetType"] == avro.INTERACTIONS:
            for noun in ("Solution", "Recommender", "EventTracker"):
                yield from self.plane.store.of(noun, datasetGroupArn=record["datasetGroupArn"])
        for noun in ("DatasetImportJob", "DatasetExportJob"):
            for job in self.plane.store.of(noun, datasetArn=record["_arn"]):
                if job["status"].endswith(("PENDING", "IN_PROGRESS")):
                    yield job

    def _check_schema(self, arn: str, dataset_type: str, group: Record) -> list[avro.Column]:
        schema = self.plane.found("Schema", arn)
        if schema.get("domain") != group.get("domain"):
            raise invalid_input(f"Schema {arn} and dataset group {group['_arn']} are not of the same domain.")
        columns = avro.parse_schema(schema["schema"])
        avro.check_for(dataset_type, columns, group.get("domain"))
        return columns

    @staticmethod
    def _take_schema(record: Record, _: Record, __: dict[str, Any]) -> None:
        record["schemaArn"] = record[UPDATE]["schemaArn"]
