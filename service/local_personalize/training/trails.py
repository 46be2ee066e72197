"""Trails: what users go on to within a category, after the item that they began it with.

The first item that a user looks at in a category says more about the next than those in between. That a column is worth
a trail is not assumed: it is kept where it makes the model better for users whom the model does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.local_personalize.training.columns import codes_of
from service.local_personalize.training.log import Floats, History, Ints, Log
from service.local_personalize.training.neighbours import Neighbours, strongest

STRENGTH: Final = 3.0
"""How many times more a well trodden trail counts than everything else that the history points at."""

_DOUBT: Final = 1.0
"""Steps that are added to those of each item: few steps prove little."""


@dataclass(frozen=True, slots=True)
class Trail:
    """For each item, what users who began its category with it went on to."""

    column: str
    codes: Ints
    """Each item's value of the column, as a number; -1 without one."""
    later: Neighbours
    """The share of the steps that led to each item; all steps of an item make less than 1."""

    def pointed_at(self, history: History, strengths: Floats) -> Floats:
        """How likely each item is next, by the first item of each category in the history; sums to less than 1."""
        order = np.argsort(history.firsts, kind="stable")
        codes = self.codes[history.items[order]]
        order, codes = order[codes >= 0], codes[codes >= 0]
        if not len(codes):
            return np.zeros(len(self.codes))
        _, begun, category = np.unique(codes, return_index=True, return_inverse=True)
        shares = np.bincount(category, weights=strengths[order]) / strengths.sum()
        return self.later.pointed_at(history.items[order][begun], shares, count=len(self.codes))


def make_trail(visits: Log, items: Mapping[str, Mapping[str, str]], column: str) -> Trail:
    """The trail of a column; without a step where no user saw two items of one value."""
    codes = codes_of(visits.item_ids, items, column)
    order = np.lexsort((visits.first, visits.user))
    order = order[codes[visits.item[order]] >= 0]
    item = visits.item[order]
    _, begun, category = np.unique(
        visits.user[order] * (int(codes.max(initial=0)) + 1) + codes[item], return_index=True, return_inverse=True
    )
    first = item[begun][category]
    count = len(visits.item_ids)
    steps, numbers = np.unique((first * count + item)[first != item], return_counts=True)
    start = steps // count
    total = np.bincount(start, weights=numbers, minlength=count) + _DOUBT
    return Trail(column, codes, strongest(start, steps % count, numbers / total[start], count=count))
