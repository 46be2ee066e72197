"""Tastes: columns of items whose values say what a user will like."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from service.local_personalize.training.log import Ints
from service.local_personalize.training.model import Model, Taste

STRENGTH: Final = 3.0
"""How many times more likely an item is that has the value of all of the user's items."""

MAX_COLUMNS: Final = 12
"""Columns that are tried; each costs one judgement."""

_LEAST_GAIN: Final = 1.01
"""A column has to make the metric better by a hundredth, or chance would choose."""


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
        if found > best * _LEAST_GAIN:
            chosen.append(column)
            best = found
    return chosen


def with_tastes(
    model: Model, items: Mapping[str, Mapping[str, str]], columns: Sequence[str], *, strength: float
) -> Model:
    """The model with a taste for each of the columns."""
    return replace(model, tastes=[Taste(column, _codes(model, items, column), strength) for column in columns])


def _codes(model: Model, items: Mapping[str, Mapping[str, str]], column: str) -> Ints:
    """The first value of each item in a column, as a number."""
    values = [items.get(item_id, {}).get(column, "").partition("|")[0] for item_id in model.item_ids]
    numbers = {value: place for place, value in enumerate(sorted({value for value in values if value}))}
    return np.array([numbers.get(value, -1) for value in values], dtype=np.int64)
