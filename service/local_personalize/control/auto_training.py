"""Automatic training: a new version every so many days of each solution that did not say no.

Amazon begins within the hour after a solution becomes ACTIVE, unless somebody trains it by hand in that hour.
Source: https://docs.aws.amazon.com/personalize/latest/dg/solution-config-auto-training.html
"""

import re
from typing import Final

from service.local_personalize.control.resources import Plane
from service.local_personalize.control.solution_versions import SolutionVersions
from service.local_personalize.control.store import Record
from service.local_personalize.refusals import Refusal

_FIRST_MINUTES: Final = 60.0
_DAY_MINUTES: Final = 24 * 60.0
_DEFAULT_DAYS: Final = 7
_DAYS: Final = re.compile(r"\d+")


class AutoTraining:
    """Begins the versions that are due.

    Args:
        plane: Has the solutions.
        versions: Trains them.
    """

    def __init__(self, plane: Plane, versions: SolutionVersions) -> None:
        self._plane = plane
        self._versions = versions

    def advance(self) -> None:
        """Begin what is due by now; a solution whose quota is used up waits."""
        for solution in self._plane.store.of("Solution", status="ACTIVE", performAutoTraining=True):
            if self._plane.durations.now() >= self._due_at(solution):
                region = solution["_arn"].split(":")[3]
                try:
                    self._versions.train(solution, region, training_type="AUTOMATIC")
                except Refusal:
                    continue

    def _due_at(self, solution: Record) -> float:
        seconds = self._plane.durations.seconds
        versions = list(self._plane.store.of("SolutionVersion", solutionArn=solution["_arn"]))
        if not versions:
            return float(solution["lastUpdatedDateTime"]) + seconds(_FIRST_MINUTES)
        expression = solution["solutionConfig"].get("autoTrainingConfig", {}).get("schedulingExpression", "")
        found = _DAYS.search(expression)
        days = int(found[0]) if found else _DEFAULT_DAYS
        return float(versions[-1]["creationDateTime"]) + seconds(days * _DAY_MINUTES)
