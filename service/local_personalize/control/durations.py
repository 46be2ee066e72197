"""How long Amazon takes, in its own minutes, and how fast they pass here."""

from collections.abc import Callable
from typing import Final

DEFAULT_SPEED: Final = 60.0
"""Amazon's seconds in one of ours: a minute passes in a second."""

MINUTES: Final = {
    "DatasetGroup": 1.0,
    "Dataset": 1.0,
    "DatasetImportJob": 10.0,
    "DatasetExportJob": 5.0,
    "DataDeletionJob": 30.0,
    "Solution": 1.0,
    "SolutionVersion": 40.0,
    "Campaign": 10.0,
    "Recommender": 60.0,
    "Filter": 1.0,
    "EventTracker": 1.0,
    "BatchInferenceJob": 20.0,
    "BatchSegmentJob": 20.0,
    "MetricAttribution": 1.0,
}
"""Until a resource is made. Source: the waits in the notebooks of aws-samples/retail-demo-store."""

UPDATE_MINUTES: Final = 10.0
DELETE_MINUTES: Final = 5.0

_PENDING_SHARE: Final = 0.1
"""The part of the time in which the status ends in PENDING."""


class Durations:
    """Amazon's time.

    Args:
        speed: Amazon's seconds in one of ours: with 60 a minute passes in a second.
        wall_clock: Epoch seconds.
    """

    def __init__(self, *, speed: float, wall_clock: Callable[[], float]) -> None:
        self._speed = speed
        self._wall_clock = wall_clock

    def now(self) -> float:
        """Epoch seconds; dates are never sped up."""
        return self._wall_clock()

    def seconds(self, minutes: float) -> float:
        """How long so many of Amazon's minutes take here."""
        return minutes * 60 / self._speed

    def steps(self, verb: str, minutes: float, final: str, *, begins_at: float) -> list[tuple[float, str]]:
        """When a change of `verb`, such as CREATE, gets which status."""
        seconds = self.seconds(minutes)
        return [
            (begins_at, f"{verb} PENDING".strip()),
            (begins_at + seconds * _PENDING_SHARE, f"{verb} IN_PROGRESS".strip()),
            (begins_at + seconds, final),
        ]
