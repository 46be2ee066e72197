"""Popularity and trends: lists that are the same for everybody."""

from typing import Final

import numpy as np

from service.local_personalize.training.log import Floats, Log
from service.local_personalize.training.neighbours import visitors_of

_NOBODY: Final = 0.5
"""What an item counts that nobody came to: last in the list, and not impossible."""

_WINDOW_SHARE: Final = 0.1
"""The newest part of the time that a trend is measured over."""


def popularity(visits: Log) -> Floats:
    """The share of each item, by the number of its users, as the Popularity-Count recipe counts."""
    return _shares(visitors_of(visits))


def interest(log: Log) -> Floats:
    """The share of each item, by the number of its interactions: who comes back counts again."""
    return _shares(np.bincount(log.item, log.weight, len(log.item_ids)).astype(np.float64))


def trend(log: Log) -> Floats:
    """The share of each item, by how much more it was asked for lately than before; what nobody asked for is last.

    Lately is the newest tenth of the time that the log spans.
    """
    count = len(log.item_ids)
    first, last = int(log.time.min()), int(log.time.max())
    is_late = log.time > last - (last - first) * _WINDOW_SHARE
    late = np.bincount(log.item[is_late], minlength=count)
    before = np.bincount(log.item[~is_late], minlength=count) * _WINDOW_SHARE / (1 - _WINDOW_SHARE)
    # One more on both sides: an item that rose from nothing to a single event is no trend.
    growth = late * (late + 1.0) / (before + 1.0) + _NOBODY / count
    return np.asarray(growth / growth.sum(), dtype=np.float64)


def _shares(counts: Floats) -> Floats:
    at_least = np.maximum(counts, _NOBODY)
    shares: Floats = at_least / at_least.sum()
    return shares
