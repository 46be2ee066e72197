"""Which items belong together, since the same users came to them: co-visitation that fades, and item-kNN.

Both count pairs of items in one user's history; they differ in what a pair weighs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.local_personalize.training.log import Floats, Ints, Log

MAX_KEPT: Final = 200
"""Neighbours kept of each item, the strongest."""

_MERGE_AT: Final = 4_000_000
"""Pairs gathered before they are added up; about 100 MB."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each item its neighbours and how near they are, the strongest first."""

    starts: Ints
    """Where each item's neighbours begin; one more entry ends them."""
    items: Ints
    weights: Floats

    def pointed_at(self, items: Ints, strengths: Floats, *, count: int) -> Floats:
        """How strongly the items together point at each of all `count` items."""
        lengths = self.starts[items + 1] - self.starts[items]
        total = int(lengths.sum())
        if not total:
            return np.zeros(count)
        offsets = np.repeat(self.starts[items] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        places = offsets + np.arange(total)
        weights = self.weights[places] * np.repeat(strengths, lengths)
        return np.asarray(np.bincount(self.items[places], weights=weights, minlength=count), dtype=np.float64)


def visitors_of(visits: Log) -> Floats:
    """How many users came to each item."""
    return np.bincount(visits.item, minlength=len(visits.item_ids)).astype(np.float64)


def co_visitation(visits: Log, *, half_life_days: float, damping: float) -> Neighbours:
    """Near is what was visited together within a short time, and not by everybody.

    Args:
        visits: Each user's visits.
        half_life_days: Time between two visits that halves what their pair weighs; 0: time plays no part.
        damping: Exponent on the number of visitors of the neighbour; 0 lets popular items into every list.
    """
    weights_of = _fading(half_life_days)
    items, others, weights = _summed(visits, weights_of)
    popular = np.maximum(visitors_of(visits), 1.0) ** -damping
    return strongest(items, others, weights * popular[others], count=len(visits.item_ids))


def item_knn(visits: Log, *, discount: float, least_together: int) -> Neighbours:
    """Near is what has many visitors in common, measured by how many either has; 0.5 makes it the cosine.

    Args:
        visits: Each user's visits.
        discount: Exponent on the product of both numbers of visitors.
        least_together: Users that a pair needs in common.
    """
    items, others, weights = _summed(visits, _fading(0))
    kept = weights >= least_together
    items, others, weights = items[kept], others[kept], weights[kept]
    visitors = np.maximum(visitors_of(visits), 1.0)
    near = weights / (visitors[items] * visitors[others]) ** discount
    return strongest(items, others, near, count=len(visits.item_ids))


def _fading(half_life_days: float) -> Callable[[Ints], Floats]:
    """What a pair weighs, by the seconds between its visits."""
    seconds = half_life_days * 86_400

    def weights(apart: Ints) -> Floats:
        return np.exp2(-apart / seconds) if seconds else np.ones(len(apart))

    return weights


def _summed(visits: Log, weights_of: Callable[[Ints], Floats]) -> tuple[Ints, Ints, Floats]:
    """What all pairs weigh, each in both directions."""
    count = len(visits.item_ids)
    keys, sums = np.empty(0, dtype=np.int64), np.empty(0)
    for more_keys, more_weights in _gathered(visits, weights_of, count):
        keys, where = np.unique(np.concatenate((keys, more_keys)), return_inverse=True)
        summed = np.bincount(where, weights=np.concatenate((sums, more_weights)), minlength=len(keys))
        sums = np.asarray(summed, dtype=np.float64)
    low, high = keys // count, keys % count
    return np.concatenate((low, high)), np.concatenate((high, low)), np.concatenate((sums, sums))


def _gathered(visits: Log, weights_of: Callable[[Ints], Floats], count: int) -> Iterator[tuple[Ints, Floats]]:
    """Keys and weights of pairs, some millions at a time."""
    keys: list[Ints] = []
    weights: list[Floats] = []
    waiting = 0
    offset = 1
    while True:
        same = np.flatnonzero(visits.user[offset:] == visits.user[:-offset]) if offset < len(visits) else np.empty(0)
        if not len(same):
            break
        first, second = visits.item[same], visits.item[same + offset]
        keys.append(np.minimum(first, second) * count + np.maximum(first, second))
        weights.append(weights_of(visits.time[same + offset] - visits.time[same]))
        waiting += len(same)
        if waiting > _MERGE_AT:
            yield np.concatenate(keys), np.concatenate(weights)
            keys, weights, waiting = [], [], 0
        offset += 1
    if waiting:
        yield np.concatenate(keys), np.concatenate(weights)


def strongest(items: Ints, others: Ints, weights: Floats, *, count: int) -> Neighbours:
    """Pairs of an item and another, as the neighbours of each of `count` items."""
    order = np.lexsort((others, -weights, items))
    items, others, weights = items[order], others[order], weights[order]
    starts = np.searchsorted(items, np.arange(count + 1))
    kept = np.arange(len(items)) - starts[items] < MAX_KEPT
    return Neighbours(np.searchsorted(items[kept], np.arange(count + 1)), others[kept], weights[kept])
