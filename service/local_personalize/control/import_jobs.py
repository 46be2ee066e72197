"""Import jobs: from CSV files to the rows of a dataset."""

from typing import Any, ClassVar

from service.local_personalize.control import avro
from service.local_personalize.control.mishaps import Mishap
from service.local_personalize.control.refused import in_use, invalid_input
from service.local_personalize.control.resources import Call, Plane, Resources
from service.local_personalize.control.store import Record

MIN_INTERACTIONS = 1000
"""Rows of one import into an Interactions dataset.

Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
"""


class ImportJobs(Resources):
    """CreateDatasetImportJob and its siblings."""

    noun: ClassVar[str] = "DatasetImportJob"
    name_field: ClassVar[str] = "jobName"

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        plane.transitions.on_end(self.noun, "CREATE", self._take_rows)

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        dataset = self.plane.ready("Dataset", call.fields["datasetArn"])
        location = call.fields["dataSource"].get("dataLocation")
        if not location:
            raise invalid_input("Invalid Data location.")
        mode = call.fields.get("importMode", "FULL")
        if mode == "INCREMENTAL" and not dataset["_files"]:
            raise invalid_input("An INCREMENTAL import needs a FULL import of the same dataset before it.")
        for other in self.plane.store.of(self.noun, datasetArn=dataset["_arn"]):
            if other["status"] in ("CREATE PENDING", "CREATE IN_PROGRESS"):
                raise in_use(f"Dataset {dataset['_arn']} already has the import job {other['_arn']} in progress.")
        record = self.new(call, call.fields["jobName"], importMode=mode)
        self.plane.quotas.check_pending("import-jobs", self.noun)
        least = MIN_INTERACTIONS if dataset["datasetType"] == avro.INTERACTIONS else 1
        job = {
            "do": "import",
            "location": location,
            "schema": self.plane.found("Schema", dataset["schemaArn"])["schema"],
            "datasetType": dataset["datasetType"],
            "least": least,
        }
        mishaps = self.plane.mishaps
        self.begin(
            record, job=job, failure=mishaps.failure(Mishap.FAIL_IMPORTS), times=mishaps.factor(Mishap.SLOW_IMPORTS)
        )
        return record

    def _take_rows(self, record: Record, _: Record, result: dict[str, Any]) -> None:
        dataset = self.plane.store.get(record["datasetArn"])
        if dataset is None:
            return
        kept = dataset["_files"] if record["importMode"] == "INCREMENTAL" else []
        dataset["_files"] = [*kept, result["file"]]
        dataset["_version"] = dataset.get("_version", 0) + 1
        self.plane.store.save(dataset["_arn"], dataset)
