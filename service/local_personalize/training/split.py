"""Amazon's way to judge: 90 % of the users train; of the others, the oldest 90 % is input, the newest 10 % the answer.

Here an item counts once for each user, with the latest visit: lists lead with what is new to the user, and most answers
would otherwise be what the input ends with.

Source: https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
"""

from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np

from service.local_personalize.training.log import History, Ints, Log, latest_visits

_PARTS: Final = 10
_CHOOSING: Final = 2
_MOST_ITEMS: Final = 100
_MOST_CASES: Final = 2000
"""Users that are asked at most; more change no figure that anybody looks at."""


@dataclass(frozen=True, slots=True)
class Case:
    """A user whose newest items are known and hidden."""

    history: History
    """The input; empty for a user of whom nothing is known."""
    answers: frozenset[int]
    """Items that are not in the input."""


@dataclass(frozen=True, slots=True)
class Split:
    """What to train on and what to judge by."""

    training: Log
    choosing: list[Case]
    """To choose between models by."""
    newcomers: list[Case]
    """Users who came to a single item, which is the answer; to choose by what users without a history get."""
    judging: list[Case]
    """For the figures that are published; no model was chosen by them."""


def split(log: Log) -> Split:
    """The split of a log; a user is always on the same side: 10 % judge, 20 % choose, 70 % train."""
    sides = np.array([crc32(user_id.encode()) % _PARTS for user_id in log.user_ids])
    if not (sides == 0).any():
        sides[::_PARTS] = 0
    if not ((sides == 1) | (sides == _CHOOSING)).any():
        sides[1::_PARTS] = 1
    visits = latest_visits(log, most=_MOST_ITEMS)
    judging = _cases(visits, np.flatnonzero(sides == 0))
    choosing = np.flatnonzero((sides == 1) | (sides == _CHOOSING))
    return Split(log.rows(sides[log.user] > _CHOOSING), _cases(visits, choosing), _newcomers(visits, choosing), judging)


def _cases(visits: Log, users: Ints) -> list[Case]:
    starts = visits.starts
    cases = []
    for user in users.tolist():
        start, end = int(starts[user]), int(starts[user + 1])
        hidden = max(1, (end - start) // _PARTS)
        if end - start > hidden:
            seen = visits.history(start, end - hidden)
            cases.append(Case(seen, frozenset(visits.item[end - hidden : end].tolist())))
            if len(cases) == _MOST_CASES:
                break
    return cases


def _newcomers(visits: Log, users: Ints) -> list[Case]:
    starts = visits.starts
    single = starts[users][starts[users + 1] - starts[users] == 1]
    nothing = visits.history(0, 0)
    return [Case(nothing, frozenset([item])) for item in visits.item[single[:_MOST_CASES]].tolist()]
