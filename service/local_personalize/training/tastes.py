"""Which columns of items say what a user will like: as tastes for their values, or as trails within them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from service.local_personalize.training.columns import codes_of
from service.local_personalize.training.model import Model, Taste
from service.local_personalize.training.trails import Trail

STRENGTH: Final = 3.0
"""How many times more likely an item is that has the value of all of the user's items."""

MAX_COLUMNS: Final = 12
"""Columns that are tried; each costs one judgement."""

LEAST_GAIN: Final = 1.01
"""A column has to make the metric better by a hundredth, or chance would choose."""


def choose_trail(model: Model, trails: Iterable[Trail], worth: Callable[[Model], float]) -> str:
    """The column of the trail that makes the model better, the best of them; empty where none does."""
    best, column = worth(model) * LEAST_GAIN, ""
    for trail in trails:
        found = worth(replace(model, trail=trail))
        if found > best:
            best, column = found, trail.column
    return column


def choose_tastes(
    model: Model,
    items: Mapping[str, Mapping[str, str]],
    columns: Sequence[str],
    *,
    worth: Callable[[Model], float],
    strength: float,
) -> list[str]:
    """The columns that make the model better, each on top of those before."""
    chosen: list[str] = []
    best = worth(model) if columns else 0.0
    for column in columns[:MAX_COLUMNS]:
        found = worth(with_tastes(model, items, [*chosen, column], strength=strength))
        if found > best * LEAST_GAIN:
            chosen.append(column)
            best = found
    return chosen


def with_tastes(
    model: Model, items: Mapping[str, Mapping[str, str]], columns: Sequence[str], *, strength: float
) -> Model:
    """The model with a taste for each of the columns."""
    return replace(
        model, tastes=[Taste(column, codes_of(model.item_ids, items, column), strength) for column in columns]
    )
