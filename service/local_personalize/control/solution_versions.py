"""Solution versions: trained models and what they are worth."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from service.local_personalize.control.durations import MINUTES
from service.local_personalize.control.group_data import group_files
from service.local_personalize.control.mishaps import Mishap
from service.local_personalize.control.names import name_in, short_id
from service.local_personalize.control.recipes import recipe_of
from service.local_personalize.control.refused import already_exists, in_use, invalid_input
from service.local_personalize.control.resources import Call, Operation, Plane, Resources
from service.local_personalize.control.store import Record

STOP_MINUTES: Final = 2.0
_UPDATABLE: Final = ("aws-user-personalization", "aws-hrnn-coldstart")
_COPIED: Final = (
    "performHPO",
    "performAutoML",
    "performIncrementalUpdate",
    "recipeArn",
    "eventType",
    "datasetGroupArn",
    "solutionConfig",
)


class SolutionVersions(Resources):
    """CreateSolutionVersion and its siblings.

    A record's `_model` is the directory of the model. Further listeners hear of each version that became ACTIVE.
    """

    noun: ClassVar[str] = "SolutionVersion"

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        plane.transitions.on_end(self.noun, "CREATE", self._take_model)
        self.listeners: list[Callable[[Record], None]] = []

    def operations(self) -> dict[str, Operation]:
        """See `Resources.operations`."""
        return {
            **super().operations(),
            "GetSolutionMetrics": self.metrics,
            "StopSolutionVersionCreation": self.stop,
        }

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        solution = self.plane.ready("Solution", call.fields["solutionArn"])
        return self.train(
            solution,
            call.region,
            mode=call.fields.get("trainingMode", "FULL"),
            name=call.fields.get("name"),
            tags=call.fields.get("tags"),
        )

    def train(
        self,
        solution: Record,
        region: str,
        *,
        mode: str = "FULL",
        training_type: str = "MANUAL",
        name: str | None = None,
        tags: list[dict[str, str]] | None = None,
    ) -> Record:
        """Begin a version of an active solution.

        Raises:
            Refusal: It cannot be trained now.
        """
        self._check_mode(solution, mode)
        if name is not None:
            for other in self.plane.store.of(self.noun, solutionArn=solution["_arn"], name=name):
                raise already_exists(self.noun, other["_arn"])
        self.plane.quotas.check_pending("solution-versions", self.noun)
        fields: dict[str, Any] = {
            "tags": tags,
            "name": name,
            **{key: solution[key] for key in _COPIED if key in solution},
        }
        record = self.new(
            Call(fields, region),
            f"{name_in(solution['_arn'])}/{short_id()}",
            solutionArn=solution["_arn"],
            trainingMode=mode,
            trainingType=training_type,
        )
        job = {
            "do": "train",
            "recipe": recipe_of(solution["recipeArn"]).name,
            "config": solution["solutionConfig"],
            "eventType": solution.get("eventType"),
            "performHPO": solution["performHPO"],
            "now": self.plane.durations.now(),
            **group_files(self.plane.store, solution["datasetGroupArn"]),
        }
        self.begin(
            record, job=job, failure=self.plane.mishaps.failure(Mishap.FAIL_TRAINING), times=_times_longer(solution)
        )
        return record

    def metrics(self, call: Call) -> dict[str, Any]:
        """GetSolutionMetrics.

        Raises:
            Refusal: The version is not ACTIVE: ResourceInUseException.
        """
        record = self.found(call.fields["solutionVersionArn"])
        if record["status"] != "ACTIVE":
            raise in_use(f"Solution version {record['_arn']} is in status {record['status']}; it has no metrics.")
        return {"solutionVersionArn": record["_arn"], "metrics": record["_metrics"]}

    def stop(self, call: Call) -> dict[str, Any]:
        """StopSolutionVersionCreation.

        Raises:
            Refusal: It is not being created.
        """
        record = self.found(call.fields["solutionVersionArn"])
        if record["status"] not in ("CREATE PENDING", "CREATE IN_PROGRESS"):
            raise invalid_input(f"Solution version {record['_arn']} is in status {record['status']}, not in creation.")
        self.plane.transitions.stop(record["_arn"])
        self.plane.transitions.begin(record, verb="STOP", minutes=STOP_MINUTES, final="CREATE STOPPED")
        record["status"] = "CREATE STOPPING"
        self.plane.store.save(record["_arn"], record)
        return {}

    def latest_ready(self, solution_arn: str) -> Record | None:
        """The newest version that is ACTIVE."""
        ready = list(self.plane.store.of(self.noun, solutionArn=solution_arn, status="ACTIVE"))
        return ready[-1] if ready else None

    def listed(self, fields: dict[str, Any]) -> Iterator[Record]:
        """See `Resources.listed`.

        Raises:
            Refusal: There is no such solution.
        """
        if "solutionArn" in fields:
            self.plane.found("Solution", fields["solutionArn"])
        return super().listed(fields)

    def _check_mode(self, solution: Record, mode: str) -> None:
        if mode == "UPDATE":
            if recipe_of(solution["recipeArn"]).name not in _UPDATABLE:
                raise invalid_input(f"trainingMode UPDATE is not supported by {solution['recipeArn']}.")
            if self.latest_ready(solution["_arn"]) is None:
                raise invalid_input("trainingMode UPDATE needs an ACTIVE version trained with FULL.")
        elif mode == "AUTOTRAIN":
            raise invalid_input("trainingMode AUTOTRAIN is for versions that Amazon Personalize starts itself.")

    def _take_model(self, record: Record, _: Record, result: dict[str, Any]) -> None:
        record["_model"], record["_metrics"] = result["model"], result["metrics"]
        record["trainingHours"] = MINUTES[self.noun] / 60 * _times_longer(record)
        if result.get("tuned"):
            record["tunedHPOParams"] = {"algorithmHyperParameters": result["tuned"]}
        record["status"] = "ACTIVE"
        self.plane.store.save(record["_arn"], record)
        for listener in self.listeners:
            listener(record)


def _times_longer(solution: Record) -> float:
    """How much longer HPO makes the training: its jobs, as many at once as asked."""
    if not solution["performHPO"]:
        return 1.0
    resources = solution["solutionConfig"].get("hpoConfig", {}).get("hpoResourceConfig", {})
    jobs, at_once = int(resources.get("maxNumberOfTrainingJobs", 8)), int(resources.get("maxParallelTrainingJobs", 4))
    return max(1.0, jobs / at_once)
