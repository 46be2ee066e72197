"""Interactions as arrays, sorted by user and time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """Interactions in rows; one user's rows are neighbours, the oldest first."""

    user_ids: list[str]
    item_ids: list[str]
    """All items, those that nobody interacted with too, in order."""
    user: Ints
    """Each row's user, as a place in `user_ids`."""
    item: Ints
    time: Ints
    """Unix seconds."""
    weight: Floats
    """What the row's event type weighs, 1 by default."""

    @property
    def starts(self) -> Ints:
        """Where each user's rows begin; one more entry, the number of rows, ends them."""
        return np.searchsorted(self.user, np.arange(len(self.user_ids) + 1))

    def __len__(self) -> int:
        return len(self.user)

    def rows(self, keep: npt.NDArray[Any]) -> "Log":
        """The rows of a mask or of places; users and items keep their numbers."""
        return Log(
            user_ids=self.user_ids,
            item_ids=self.item_ids,
            user=self.user[keep],
            item=self.item[keep],
            time=self.time[keep],
            weight=self.weight[keep],
        )


def make_log(rows: Iterable[tuple[str, str, int, float]], further_items: Iterable[str] = ()) -> Log:
    """The log of rows of user, item, time and weight, in any order; rows of one second keep theirs."""
    listed = list(rows)
    user_ids = sorted({row[0] for row in listed})
    item_ids = sorted({row[1] for row in listed}.union(further_items))
    users, items = ({name: place for place, name in enumerate(names)} for names in (user_ids, item_ids))
    user = np.array([users[row[0]] for row in listed], dtype=np.int64)
    time = np.array([row[2] for row in listed], dtype=np.int64)
    order = np.lexsort((time, user))
    return Log(
        user_ids=user_ids,
        item_ids=item_ids,
        user=user[order],
        item=np.array([items[row[1]] for row in listed], dtype=np.int64)[order],
        time=time[order],
        weight=np.array([row[3] for row in listed], dtype=np.float64)[order],
    )


def latest_visits(log: Log, *, most: int) -> Log:
    """Each user's latest visit to each item, the latest `most` items, oldest first; weights are the heaviest."""
    count = len(log.item_ids)
    key = log.user * count + log.item
    _, last = np.unique(key[::-1], return_index=True)
    keep = np.sort(len(log) - 1 - last)
    visits = log.rows(keep)
    heaviest = np.zeros(len(visits))
    places = {one: place for place, one in enumerate((visits.user * count + visits.item).tolist())}
    np.maximum.at(heaviest, np.array([places[one] for one in key.tolist()], dtype=np.int64), log.weight)
    visits = Log(
        user_ids=visits.user_ids,
        item_ids=visits.item_ids,
        user=visits.user,
        item=visits.item,
        time=visits.time,
        weight=heaviest,
    )
    ends = visits.starts[1:][visits.user]
    return visits.rows(ends - np.arange(len(visits)) <= most)
