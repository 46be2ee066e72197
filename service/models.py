"""Frozen values that travel between the layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.errors import DegradedReason

Source = Literal["personalize", "cache", "stale", "batch", "popular", "empty"]
"""Where the list of an answer came from; the value of `X-Recommendation-Source`."""

SOURCES: tuple[Source, ...] = ("personalize", "cache", "stale", "batch", "popular", "empty")

AnswerFormat = Literal["array", "object"]


@dataclass(frozen=True, slots=True)
class RecommendationQuery:
    """What one Connected Content call asks for."""

    user_id: str
    """Personalize's userId; empty for the non-personalised list."""

    num_results: int
    """Items wanted, 1..100."""

    exclude: frozenset[str] = frozenset()
    """Item ids that must not be shown."""

    fields: tuple[str, ...] = ()
    """Further catalogue columns to put into each item, in this order."""

    filter_values: tuple[tuple[str, str], ...] = ()
    """Placeholder name and value, sorted by name."""

    answer_format: AnswerFormat = "array"


@dataclass(frozen=True, slots=True)
class ItemList:
    """A list as Personalize ranked it, before any exclusion."""

    item_ids: tuple[str, ...]
    """Best first."""

    recommendation_id: str
    """Personalize's id of this list; empty when there is none."""

    created_at: float
    """Unix seconds at which the list was made."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One GetRecommendations call."""

    user_id: str
    num_results: int
    filter_values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer ready to be written out."""

    body: bytes
    """JSON."""

    source: Source
    degraded_reason: DegradedReason | None
    recommendation_id: str
    age_seconds: int | None
    """Since the list came from Personalize; None for a list that did not."""

    timings: tuple[tuple[str, float], ...] = ()
    """Name and milliseconds of each wait, for `Server-Timing`."""

    dropped: tuple[tuple[str, int], ...] = ()
    """Why items of the list are not shown, and how many."""
