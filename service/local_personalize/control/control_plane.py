"""The control plane: every operation by name, over one state."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from service.local_personalize.control import recipes
from service.local_personalize.control.auto_training import AutoTraining
from service.local_personalize.control.batch_jobs import BatchInferenceJobs, BatchSegmentJobs
from service.local_personalize.control.campaigns import Campaigns
from service.local_personalize.control.data_jobs import DeletionJobs, ExportJobs
from service.local_personalize.control.dataset_groups import DatasetGroups
from service.local_personalize.control.datasets import Datasets
from service.local_personalize.control.durations import Durations
from service.local_personalize.control.event_trackers import EventTrackers
from service.local_personalize.control.filters import Filters
from service.local_personalize.control.import_jobs import ImportJobs
from service.local_personalize.control.metric_attributions import MetricAttributions
from service.local_personalize.control.mishaps import Mishaps
from service.local_personalize.control.quotas import DEFAULTS, Quotas
from service.local_personalize.control.recommenders import Recommenders
from service.local_personalize.control.refused import invalid_input
from service.local_personalize.control.resources import Call, Operation, Plane
from service.local_personalize.control.schemas import Schemas
from service.local_personalize.control.solution_versions import SolutionVersions
from service.local_personalize.control.solutions import Solutions
from service.local_personalize.control.store import Store
from service.local_personalize.control.tags import Tags
from service.local_personalize.control.transitions import Transitions
from service.local_personalize.control.wire import answer_of, check_input, service_model
from service.local_personalize.control.workers import Workers
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.refusals import Refusal


class ControlPlane:
    """Every operation of the control plane.

    Args:
        directory: Holds the state; one that is there is taken up again.
        workers: Do the jobs.
        speed: Amazon's seconds in one of ours.
        wall_clock: Epoch seconds.
        quotas: How many of each there may be, as `quotas.DEFAULTS`.

    Raises:
        LocalPersonalizeError: The directory cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: Workers,
        speed: float,
        wall_clock: Callable[[], float],
        quotas: Mapping[str, int] = DEFAULTS,
    ) -> None:
        # Jobs and models are kept by their whole path, so that the next start may be from anywhere.
        directory = directory.resolve()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalPersonalizeError(f"{directory} cannot be made: {error.strerror}") from error
        self._workers = workers
        self.speed = speed
        store = Store(directory)
        durations = Durations(speed=speed, wall_clock=wall_clock)
        self.mishaps = Mishaps()
        self.plane = Plane(
            store=store,
            durations=durations,
            transitions=Transitions(store, durations=durations, workers=workers),
            quotas=Quotas(store, quotas),
            mishaps=self.mishaps,
        )
        self._versions = SolutionVersions(self.plane)
        self._auto_training = AutoTraining(self.plane, self._versions)
        self._operations = self._all_operations()

    def close(self) -> None:
        """End the jobs; those that are not done begin again with the next start."""
        self._workers.close()
        self.plane.store.close()

    def advance(self) -> None:
        """Let everything happen whose time has come."""
        self.plane.transitions.advance()
        self._auto_training.advance()

    def answer(self, operation: str, fields: dict[str, Any], *, region: str) -> dict[str, Any]:
        """The answer of an operation, in its shape.

        Raises:
            Refusal: Amazon would refuse the call, or the local Personalize has no such operation.
        """
        if operation not in service_model().operation_names:
            raise Refusal(status=400, code="UnknownOperationException", message=f"There is no operation {operation}")
        check_input(operation, fields)
        self.advance()
        if operation not in self._operations:
            raise invalid_input(f"The local Personalize does not carry out {operation}.")
        answer = self._operations[operation](Call(fields, region))
        return answer_of(operation, answer)

    def _all_operations(self) -> dict[str, Operation]:
        plane = self.plane
        kinds = [
            Schemas(plane),
            DatasetGroups(plane),
            Datasets(plane),
            ImportJobs(plane),
            Solutions(plane),
            self._versions,
            Campaigns(plane, self._versions),
            Filters(plane),
            EventTrackers(plane),
            BatchInferenceJobs(plane),
            BatchSegmentJobs(plane),
            Recommenders(plane),
            ExportJobs(plane),
            DeletionJobs(plane),
            MetricAttributions(plane),
        ]
        operations = {**recipes.operations(), **Tags(plane).operations()}
        for kind in kinds:
            operations.update(kind.operations())
        return operations
