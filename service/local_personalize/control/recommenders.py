"""Recommenders of domain dataset groups: trained and deployed in one, and stopped and started again."""

from typing import Any, ClassVar, Final

from service.local_personalize.control.durations import UPDATE_MINUTES
from service.local_personalize.control.group_data import group_files
from service.local_personalize.control.mishaps import Mishap
from service.local_personalize.control.recipes import Recipe, recipe_of
from service.local_personalize.control.refused import in_use, invalid_input
from service.local_personalize.control.resources import Call, Operation, Plane, Resources
from service.local_personalize.control.store import Record

UPDATE: Final = "latestRecommenderUpdate"
_SWITCH_MINUTES: Final = 5.0


class Recommenders(Resources):
    """CreateRecommender and its siblings. A record's `_model` is the directory of the model."""

    noun: ClassVar[str] = "Recommender"

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        plane.transitions.on_end(self.noun, "CREATE", self._take_model)
        plane.transitions.on_end(self.noun, "UPDATE", self._take_update)

    def operations(self) -> dict[str, Operation]:
        """See `Resources.operations`."""
        return {**super().operations(), "StartRecommender": self.start, "StopRecommender": self.stop}

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        group = self.plane.ready("DatasetGroup", call.fields["datasetGroupArn"])
        recipe = recipe_of(call.fields["recipeArn"])
        if recipe.domain is None or recipe.domain != group.get("domain"):
            raise invalid_input(f"The recipe {recipe.arn} is not of the domain of dataset group {group['_arn']}.")
        config = call.fields.get("recommenderConfig", {})
        record = self.new(
            call,
            call.fields["name"],
            recommenderConfig={"minRecommendationRequestsPerSecond": 1, **config},
        )
        self.plane.quotas.check("recommenders", self.noun, datasetGroupArn=group["_arn"])
        failure = self.plane.mishaps.failure(Mishap.FAIL_TRAINING)
        self.begin(record, job=self._job(group["_arn"], recipe, config), failure=failure)
        return record

    def update(self, call: Call) -> dict[str, Any]:
        """See `Resources.update`; other training data train it again, and the old model answers meanwhile."""
        record = self._settled(call, "ACTIVE", "INACTIVE", "CREATE FAILED")
        config = call.fields["recommenderConfig"]
        now = self.plane.durations.now()
        record[UPDATE] = {"recommenderConfig": config, "creationDateTime": now}
        job = None
        if "trainingDataConfig" in config or "_model" not in record:
            job = self._job(record["datasetGroupArn"], recipe_of(record["recipeArn"]), config)
        failure = self.plane.mishaps.failure(Mishap.FAIL_CAMPAIGN_UPDATE)
        self.plane.transitions.begin(
            record, verb="UPDATE", minutes=UPDATE_MINUTES, part=UPDATE, job=job, failure=failure
        )
        return record

    def start(self, call: Call) -> dict[str, Any]:
        """StartRecommender.

        Raises:
            Refusal: It is not stopped.
        """
        record = self._settled(call, "INACTIVE")
        self.plane.transitions.begin(record, verb="START", minutes=_SWITCH_MINUTES)
        return record

    def stop(self, call: Call) -> dict[str, Any]:
        """StopRecommender.

        Raises:
            Refusal: It is not started.
        """
        record = self._settled(call, "ACTIVE")
        self.plane.transitions.begin(record, verb="STOP", minutes=_SWITCH_MINUTES, final="INACTIVE")
        return record

    def _settled(self, call: Call, *statuses: str) -> Record:
        record = self.found(call.fields["recommenderArn"])
        arn = record["_arn"]
        if record["status"] not in statuses or self.plane.transitions.is_going_on(arn):
            raise in_use(f"Recommender {arn} is in status {record['status']}; it must be {' or '.join(statuses)}.")
        return record

    def _job(self, group_arn: str, recipe: Recipe, config: dict[str, Any]) -> dict[str, Any]:
        return {
            "do": "train",
            "recipe": recipe.name,
            "config": {"trainingDataConfig": config.get("trainingDataConfig", {})},
            "eventType": None,
            "performHPO": False,
            "now": self.plane.durations.now(),
            **group_files(self.plane.store, group_arn),
        }

    @staticmethod
    def _take_model(record: Record, _: Record, result: dict[str, Any]) -> None:
        record["_model"], record["modelMetrics"] = result["model"], result["metrics"]

    def _take_update(self, record: Record, transition: Record, result: dict[str, Any]) -> None:
        record["recommenderConfig"] = {**record["recommenderConfig"], **record[UPDATE]["recommenderConfig"]}
        if result:
            self._take_model(record, transition, result)
        if record["status"] == "CREATE FAILED":
            record["status"] = "ACTIVE"
            record.pop("failureReason", None)
