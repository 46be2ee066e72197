"""What placement and arm are to their answers."""

from dataclasses import dataclass

from service.models import RequestKind


@dataclass(frozen=True, slots=True)
class AssemblyTerms:
    """How the answers of one arm of a placement are made."""

    placement: str
    variant: str | None
    kind: RequestKind
    top_up: bool
    """Whether popular items fill a list that is short."""
    category_column: str | None
    """Popular items with the item's value in this column go first."""
