"""Categorical columns of items, as numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.local_personalize.training.log import Ints


def codes_of(item_ids: Sequence[str], items: Mapping[str, Mapping[str, str]], column: str) -> Ints:
    """The first value of each item in a column, as a number from 0; -1 for an item without one."""
    values = [items.get(item_id, {}).get(column, "").partition("|")[0] for item_id in item_ids]
    numbers = {value: place for place, value in enumerate(sorted({value for value in values if value}))}
    return np.array([numbers.get(value, -1) for value in values], dtype=np.int64)
