"""What the pipeline needs of others."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from service.errors import PipelineError


class Track(Protocol):
    """The progress of one piece of work."""

    def reach(self, completed: int, note: str) -> None:
        """Say how much is done in all, with a few words to show beside it."""


class Display(Protocol):
    """What shows a person how far a command is."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def track(self, what: str, unit: str, total: int | None = None) -> AbstractContextManager[Track]:
        """Show the progress of some work for as long as the block lasts."""


class ControlPlane(Protocol):
    """The control plane of Personalize, by the names of its operations as boto3 has them."""

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  # each operation has its own
        """Call one operation.

        Raises:
            AlreadyExists: The name is taken.
            InUse: Something else is being done to it.
            LimitExceeded: There are too many.
            NotFound: It is not there.
            PipelineError: Any other refusal, or no answer.
        """


class Storage(Protocol):
    """Where files are put for Personalize to read."""

    def has(self, url: str) -> bool:
        """Whether something is at this address."""

    def put(self, path: Path, url: str) -> None:
        """Copy a local file to this address."""


class Refused(PipelineError):
    """Personalize refused a call."""


class AlreadyExists(Refused):
    """The name is taken."""


class InUse(Refused):
    """Something else is being done to the resource."""


class LimitExceeded(Refused):
    """One more would be too many."""


class NotFound(Refused):
    """There is no such resource."""
