"""Batch inference jobs: a list for each line of a file."""

from typing import Any, ClassVar

from service.local_personalize.control.group_data import group_files
from service.local_personalize.control.mishaps import Mishap
from service.local_personalize.control.recipes import RELATED, recipe_of
from service.local_personalize.control.refused import invalid_input
from service.local_personalize.control.resources import Call, Resources
from service.local_personalize.control.store import Record

MAX_NUM_RESULTS = 500
_NOT_IN_BATCH = ("aws-trending-now", "aws-next-best-action")


class BatchInferenceJobs(Resources):
    """CreateBatchInferenceJob and its siblings."""

    noun: ClassVar[str] = "BatchInferenceJob"
    name_field: ClassVar[str] = "jobName"

    quota: ClassVar[str] = "batch-inference-jobs"
    kind: ClassVar[str] = "inference"

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        fields = call.fields
        version = self.plane.ready("SolutionVersion", fields["solutionVersionArn"])
        self._check(fields, version)
        num_results = fields.get("numResults", 25)
        if not 1 <= num_results <= MAX_NUM_RESULTS:
            raise invalid_input(f"numResults must lie between 1 and {MAX_NUM_RESULTS}.")
        expression = None
        if "filterArn" in fields:
            found = self.plane.ready("Filter", fields["filterArn"])
            if found["datasetGroupArn"] != version["datasetGroupArn"]:
                raise invalid_input("The filter and the solution version are not of the same dataset group.")
            expression = found["filterExpression"]
        mode = {"batchInferenceJobMode": "BATCH_INFERENCE"} if self.kind == "inference" else {}
        record = self.new(call, fields["jobName"], numResults=num_results, **mode)
        self.plane.quotas.check_pending(self.quota, self.noun)
        job = {
            "do": "batch",
            "kind": self.kind,
            "model": version["_model"],
            "recipeType": recipe_of(version["recipeArn"]).recipe_type,
            "input": fields["jobInput"]["s3DataSource"]["path"],
            "output": fields["jobOutput"]["s3DataDestination"]["path"],
            "numResults": num_results,
            "filter": expression,
            **group_files(self.plane.store, version["datasetGroupArn"]),
        }
        self.begin(record, job=job, failure=self.plane.mishaps.failure(Mishap.FAIL_BATCH))
        return record

    def _check(self, fields: dict[str, Any], version: Record) -> None:
        recipe = recipe_of(version["recipeArn"])
        if recipe.name in _NOT_IN_BATCH or recipe.recipe_type == "USER_SEGMENTATION":
            raise invalid_input(f"Batch inference is not supported by {recipe.name}.")
        if fields.get("batchInferenceJobMode") == "THEME_GENERATION":
            if recipe.recipe_type != RELATED:
                raise invalid_input("THEME_GENERATION needs a version of aws-similar-items.")
            raise invalid_input("The local Personalize does not carry out batchInferenceJobMode THEME_GENERATION.")


class BatchSegmentJobs(BatchInferenceJobs):
    """CreateBatchSegmentJob and its siblings: users for each item."""

    noun: ClassVar[str] = "BatchSegmentJob"
    quota: ClassVar[str] = "batch-segment-jobs"
    kind: ClassVar[str] = "segment"

    def _check(self, fields: dict[str, Any], version: Record) -> None:
        del fields
        recipe = recipe_of(version["recipeArn"])
        if recipe.recipe_type != "USER_SEGMENTATION":
            raise invalid_input(f"Batch segments are not supported by {recipe.name}.")
