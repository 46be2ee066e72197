"""What making answers needs from the outside."""

from typing import Protocol


class DropRecorder(Protocol):
    """Where items that are not shown are counted."""

    def dropped(self, reason: str, items: int) -> None:
        """Items of a list were not fit to show."""
