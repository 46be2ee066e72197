"""Interactions as arrays, sorted by user and time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class History:
    """One user's distinct items, the latest visited last."""

    items: Ints
    times: Ints
    """The latest visit to each, in Unix seconds."""
    firsts: Ints
    """The first visit to each."""
    weights: Floats

    def __len__(self) -> int:
        return len(self.items)

    def latest(self, count: int) -> "History":
        """The last so many items."""
        if len(self) <= count:
            return self
        return History(self.items[-count:], self.times[-count:], self.firsts[-count:], self.weights[-count:])


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
    first: Ints
    """The same as `time`, but of a row that stands for several: the time of the first of them."""
    weight: Floats
    """What the row's event type weighs, 1 by default."""

    @property
    def starts(self) -> Ints:
        """Where each user's rows begin; one more entry, the number of rows, ends them."""
        return np.searchsorted(self.user, np.arange(len(self.user_ids) + 1))

    def __len__(self) -> int:
        return len(self.user)

    def history(self, start: int, end: int) -> History:
        """These rows, which are visits of one user."""
        rows = slice(start, end)
        return History(self.item[rows], self.time[rows], self.first[rows], self.weight[rows])

    def rows(self, keep: npt.NDArray[Any]) -> "Log":
        """The rows of a mask or of places; users and items keep their numbers."""
        return Log(
            user_ids=self.user_ids,
            item_ids=self.item_ids,
            user=self.user[keep],
            item=self.item[keep],
            time=self.time[keep],
            first=self.first[keep],
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
        first=time[order],
        weight=np.array([row[3] for row in listed], dtype=np.float64)[order],
    )


def latest_visits(log: Log, *, most: int) -> Log:
    """Each user's latest visit to each item, the latest `most` items, oldest first; weights are the heaviest."""
    count = len(log.item_ids)
    key = log.user * count + log.item
    _, last = np.unique(key[::-1], return_index=True)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    heaviest = np.zeros(len(first))
    np.maximum.at(heaviest, which, log.weight)
    keep = np.sort(len(log) - 1 - last)
    visits = replace(log.rows(keep), first=log.first[first][which[keep]], weight=heaviest[which[keep]])
    ends = visits.starts[1:][visits.user]
    return visits.rows(ends - np.arange(len(visits)) <= most)
