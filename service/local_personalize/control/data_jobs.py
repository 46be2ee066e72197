"""Jobs on the rows of a group: exports, and deletions of users."""

from typing import Any, ClassVar

from service.local_personalize.control.durations import MINUTES
from service.local_personalize.control.group_data import group_files
from service.local_personalize.control.refused import invalid_input
from service.local_personalize.control.resources import Call, Plane, Resources
from service.local_personalize.control.store import Record


class ExportJobs(Resources):
    """CreateDatasetExportJob and its siblings."""

    noun: ClassVar[str] = "DatasetExportJob"
    name_field: ClassVar[str] = "jobName"

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        dataset = self.plane.ready("Dataset", call.fields["datasetArn"])
        mode = call.fields.get("ingestionMode", "PUT")
        record = self.new(call, call.fields["jobName"], ingestionMode=mode)
        job = {
            "do": "export",
            "datasetType": dataset["datasetType"],
            "mode": mode,
            "output": call.fields["jobOutput"]["s3DataDestination"]["path"],
            **group_files(self.plane.store, dataset["datasetGroupArn"]),
        }
        self.begin(record, job=job)
        return record


class DeletionJobs(Resources):
    """CreateDataDeletionJob and its siblings: all rows of users whose ids a CSV file lists."""

    noun: ClassVar[str] = "DataDeletionJob"
    name_field: ClassVar[str] = "jobName"

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        plane.transitions.on_end(self.noun, "", self._take_rows)

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        group = self.plane.ready("DatasetGroup", call.fields["datasetGroupArn"])["_arn"]
        location = call.fields["dataSource"].get("dataLocation")
        if not location:
            raise invalid_input("Invalid Data location.")
        record = self.new(call, call.fields["jobName"])
        self.plane.quotas.check_pending("deletion-jobs", self.noun, datasetGroupArn=group)
        job = {"do": "delete", "location": location, **group_files(self.plane.store, group)}
        minutes = MINUTES[self.noun]
        self.plane.transitions.begin(record, verb="", minutes=minutes, final="COMPLETED", job=job)
        return record

    def _take_rows(self, record: Record, _: Record, result: dict[str, Any]) -> None:
        record["numDeleted"] = result["deleted"]
        for dataset in self.plane.store.of("Dataset", datasetGroupArn=record["datasetGroupArn"]):
            renamed: dict[str, str] = result["files"]
            dataset["_files"] = [renamed.get(name, name) for name in dataset["_files"]]
            self.plane.store.save(dataset["_arn"], dataset)
