"""Matrix factorisation: items as vectors, such that items of the same users lie near each other.

The vectors are the leading right singular vectors of the users' visits, popular items damped. A user is the sum of
the vectors of their items, so that a new event changes the user without a training.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from service.local_personalize.training.log import Floats, Ints, Log
from service.local_personalize.training.neighbours import visitors_of

_DAMPING: Final = 0.3
_ROUNDS: Final = 4
"""Power iterations; more change the lists no longer."""
_EXTRA: Final = 8
"""Further dimensions in the search, which make the wanted ones exact."""


@dataclass(frozen=True, slots=True)
class Factors:
    """A vector for each item."""

    vectors: Floats
    dampings: Floats
    """What a visit to each item counts."""

    def pointed_at(self, items: Ints, strengths: Floats, *, count: int) -> Floats:
        """How strongly the items together point at each of all items; never below 0."""
        del count
        user = (strengths * self.dampings[items]) @ self.vectors[items]
        return np.maximum(self.vectors @ user, 0.0)


def factorise(visits: Log, *, dimensions: int) -> Factors:
    """The vectors of the items, of at most so many dimensions; the same visits always give the same."""
    dampings = np.maximum(visitors_of(visits), 1.0) ** -_DAMPING
    weights = dampings[visits.item]
    users, items = len(visits.user_ids), len(visits.item_ids)
    wanted = min(dimensions, items, users)
    vectors = np.random.default_rng(0).standard_normal((items, min(wanted + _EXTRA, items)))
    for _ in range(_ROUNDS):
        by_user = _summed_by(visits.user, vectors[visits.item] * weights[:, None], users)
        vectors = _orthonormal(_summed_by(visits.item, by_user[visits.user] * weights[:, None], items))
    by_user = _summed_by(visits.user, vectors[visits.item] * weights[:, None], users)
    _, turn = np.linalg.eigh(by_user.T @ by_user)
    return Factors(np.ascontiguousarray((vectors @ turn[:, ::-1])[:, :wanted]), dampings)


def _orthonormal(vectors: Floats) -> Floats:
    """An orthonormal basis of the columns, through their small Gram matrix: far faster than QR for so few columns."""
    values, turn = np.linalg.eigh(vectors.T @ vectors)
    kept = values > values[-1] * 1e-12
    basis: Floats = vectors @ (turn[:, kept] / np.sqrt(values[kept]))
    return basis


def _summed_by(groups: Ints, rows: Floats, count: int) -> Floats:
    """The sum of the rows of each group; zero for a group without rows."""
    order = np.argsort(groups, kind="stable")
    sorted_groups = groups[order]
    present, starts = np.unique(sorted_groups, return_index=True)
    sums = np.zeros((count, rows.shape[1]))
    if len(present):
        sums[present] = np.add.reduceat(rows[order], starts)
    return sums
