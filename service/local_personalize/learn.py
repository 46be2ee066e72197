"""The model: item-to-item co-visitation that fades with time, with popularity behind it.

Two items are neighbours when one user visited both, the more so the less time lay between the visits
and the fewer users either item has. A user's list follows the neighbours of the items in their
history, the recent ones first. What that leaves open is filled with popular items.

Amazon's User-Personalization may recommend items the user has interacted with; who does not want that
excludes them with a filter on `Interactions.EVENT_TYPE`. So seen items stay in the list here too, at a
tenth of their weight: the list leads with what is new.
Source: https://docs.aws.amazon.com/personalize/latest/dg/filter.html

The same data always gives the same lists: ties go to the lower item id.
"""

import heapq
from bisect import insort
from collections.abc import Container, Iterable
from itertools import combinations, islice
from math import exp2
from typing import NamedTuple

from service.local_personalize.data import Dataset, Interaction

_HALF_LIFE_SECONDS = 180 * 86_400
"""Time in which the weight of a visit halves: since the user's latest visit, and between two neighbours.

Half a year keeps last season in sight; on the retail data every value above 90 days does equally well.
"""

_POPULARITY_DAMPING = 0.3
"""Exponent on the number of users of both neighbours; 0 lets popular items into every list."""

_SEEN_WEIGHT = 0.1
"""What is left of the weight of an item that is in the user's history."""

_POPULAR_SHARE = 0.05
"""Share of the probability that is spread over all items by popularity, so that no item is at zero."""

_MAX_HISTORY = 100
"""Latest distinct items of a user that count; bounds the pairs of one user to 4,950."""

_MAX_NEIGHBOURS = 200
"""Kept of each item, the strongest."""


_MAX_ALIKE = 10
"""Items with columns like those of a new item that count."""


class ScoredItem(NamedTuple):
    """An item in a list, best first."""

    item_id: str
    score: float | None
    """Probability of being the user's next item; None where Personalize gives no score."""


class _Visit(NamedTuple):
    item: int
    timestamp: int


class _Neighbour(NamedTuple):
    item: int
    weight: float


class CoVisitationModel:
    """Answers what a campaign would; build it with `learn`.

    Items are numbered in the order of their ids, so that comparing numbers breaks ties by id.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        item_ids: list[str],
        visits: dict[str, list[_Visit]],
        neighbours: list[list[_Neighbour]],
        visitors: list[int],
    ) -> None:
        self.dataset = dataset
        """What the model was learned from, with every column of items and users."""
        self._item_ids = item_ids
        self._numbers = {item_id: number for number, item_id in enumerate(item_ids)}
        self._visits = visits
        self._neighbours = neighbours
        self._dampings = [_damping(count) for count in visitors]
        # An item nobody visited counts as half a visitor: last in the list, and not impossible.
        total = sum(max(count, 0.5) for count in visitors)
        self._popularity = [max(count, 0.5) / total for count in visitors]
        self._by_popularity = sorted(range(len(item_ids)), key=lambda item: (-visitors[item], item))

    @property
    def item_count(self) -> int:
        """Items in the catalogue: those of items.csv and those of the interactions."""
        return len(self._item_ids)

    @property
    def user_count(self) -> int:
        """Users with a history."""
        return len(self._visits)

    def recommend(self, user_id: str, *, count: int) -> list[ScoredItem]:
        """The user's `count` likeliest next items, popular ones for an unknown user.

        The scores of a known user sum to 1 over the whole catalogue.
        """
        if user_id not in self._visits:
            return self.popular(count=count)
        weights = self._taste(user_id)
        scale = _scale(weights)
        base = self._base(scale)
        chances = [(-(weight * scale + self._popularity[item] * base), item) for item, weight in weights.items()]
        chances += [(-self._popularity[item] * base, item) for item in self._fill(weights, count)]
        chances.sort()
        return [ScoredItem(self._item_ids[item], -chance) for chance, item in chances[:count]]

    def similar(self, item_id: str, *, count: int) -> list[ScoredItem]:
        """The items most often visited along with this one, without scores; never the item itself.

        Popular items fill it up, and are all there is for an unknown item.
        Source: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-sims.html
        """
        item = self._numbers.get(item_id)
        if item is None:
            return self.popular(count=count)
        near = [neighbour.item for neighbour in self._neighbours[item]]
        found = [*near, *self._fill({item, *near}, count)]
        return [ScoredItem(self._item_ids[number], None) for number in found[:count]]

    def feel(self, user_id: str, item_id: str, timestamp: int, event_type: str) -> None:
        """Let an event change this user's next list and what filters know; other users' lists stay as learned.

        An item that the model does not know changes only what filters know.
        """
        history = self.dataset.histories.setdefault(user_id, [])
        insort(history, Interaction(item_id, timestamp, event_type), key=lambda row: row.timestamp)
        visits = _visits([row for row in history if row.item_id in self._numbers], self._numbers)
        if visits:
            self._visits[user_id] = visits

    def put_item(self, item_id: str, columns: dict[str, str]) -> None:
        """Take in a new item, or other columns of one that is there.

        A new item goes along with those that have the most columns in common: who visited these gets it, too.
        """
        is_new = item_id not in self._numbers
        like = self._alike(columns) if is_new else []
        self.dataset.items[item_id] = columns
        if not is_new:
            return
        number = self._numbers[item_id] = len(self._item_ids)
        self._item_ids.append(item_id)
        self._dampings.append(_damping(0))
        self._popularity.append(min(self._popularity, default=1.0))
        self._by_popularity.append(number)
        self._neighbours.append([_Neighbour(other, 1.0) for other in like])
        for other in like:
            near = self._neighbours[other]
            usual = sum(neighbour.weight for neighbour in near) / len(near) if near else 1.0
            insort(near, _Neighbour(number, usual), key=lambda one: -one.weight)

    def _alike(self, columns: dict[str, str]) -> list[int]:
        """The items that have most of these values, at most `_MAX_ALIKE`; a value that many have says less."""
        shared: dict[int, float] = {}
        for name, value in columns.items():
            having = [number for one, number in self._numbers.items() if self._value(one, name) == value]
            for number in having if value else ():
                shared[number] = shared.get(number, 0.0) + 1 / len(having)
        return heapq.nsmallest(_MAX_ALIKE, shared, key=lambda number: (-shared[number], number))

    def _value(self, item_id: str, column: str) -> str | None:
        return self.dataset.items.get(item_id, {}).get(column)

    def popular(self, *, count: int) -> list[ScoredItem]:
        """The items with the most users, without scores.

        Users are counted rather than interactions, as the Popularity-Count recipe does.
        Source: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-popularity.html
        """
        return [ScoredItem(self._item_ids[item], None) for item in self._by_popularity[:count]]

    def rank(self, user_id: str, item_ids: Iterable[str]) -> list[ScoredItem]:
        """All the given items, each once, in the order the user would take them.

        The scores sum to 1 over the items given. Items the model does not know come last, at 0.
        """
        asked = list(dict.fromkeys(item_ids))
        weights = self._taste(user_id)
        scale = _scale(weights)
        base = self._base(scale)
        chances = dict.fromkeys(asked, 0.0)
        for item_id in asked:
            item = self._numbers.get(item_id)
            if item is not None:
                chances[item_id] = weights.get(item, 0.0) * scale + self._popularity[item] * base
        total = sum(chances.values()) or 1.0
        ranked = sorted(asked, key=lambda item_id: (-chances[item_id], item_id))
        return [ScoredItem(item_id, chances[item_id] / total) for item_id in ranked]

    def _taste(self, user_id: str) -> dict[int, float]:
        """How strongly the user's history points at each item; empty for an unknown user."""
        visits = self._visits.get(user_id, [])
        weights: dict[int, float] = {}
        for item, timestamp in visits:
            strength = _fading(visits[-1].timestamp - timestamp) * self._dampings[item]
            for neighbour, weight in self._neighbours[item]:
                weights[neighbour] = weights.get(neighbour, 0.0) + strength * weight
        for item, _ in visits:
            if item in weights:
                weights[item] *= _SEEN_WEIGHT
        return weights

    def _base(self, scale: float) -> float:
        """The probability left to popularity: all of it where the history points nowhere."""
        return _POPULAR_SHARE if scale else 1.0

    def _fill(self, taken: Container[int], count: int) -> list[int]:
        """The `count` most popular items that are not taken."""
        return list(islice((item for item in self._by_popularity if item not in taken), count))


def learn(dataset: Dataset) -> CoVisitationModel:
    """A model of the dataset. It keeps the dataset, and takes about a second per 100,000 interactions."""
    found = {row.item_id for history in dataset.histories.values() for row in history}
    item_ids = sorted(found.union(dataset.items))
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    visits = {user_id: _visits(history, numbers) for user_id, history in dataset.histories.items() if history}
    visitors = _count_visitors(dataset, numbers)
    return CoVisitationModel(
        dataset=dataset,
        item_ids=item_ids,
        visits=visits,
        neighbours=_neighbours(visits.values(), visitors),
        visitors=visitors,
    )


def _visits(history: list[Interaction], numbers: dict[str, int]) -> list[_Visit]:
    """The latest visit to each of the user's latest items, oldest first."""
    latest: dict[str, int] = {}
    for row in reversed(history):
        if row.item_id not in latest:
            latest[row.item_id] = row.timestamp
            if len(latest) == _MAX_HISTORY:
                break
    return [_Visit(numbers[item_id], timestamp) for item_id, timestamp in reversed(latest.items())]


def _count_visitors(dataset: Dataset, numbers: dict[str, int]) -> list[int]:
    visitors = [0] * len(numbers)
    for history in dataset.histories.values():
        for item_id in {row.item_id for row in history}:
            visitors[numbers[item_id]] += 1
    return visitors


def _neighbours(histories: Iterable[list[_Visit]], visitors: list[int]) -> list[list[_Neighbour]]:
    """The strongest neighbours of each item, the strongest first."""
    together: list[dict[int, float]] = [{} for _ in visitors]
    for visits in histories:
        for (earlier, earlier_at), (later, later_at) in combinations(visits, 2):
            weight = _fading(later_at - earlier_at)
            together[earlier][later] = together[earlier].get(later, 0.0) + weight
            together[later][earlier] = together[later].get(earlier, 0.0) + weight
    dampings = [_damping(count) for count in visitors]
    for weights in together:
        for item in weights:
            weights[item] *= dampings[item]
    return [_strongest(weights) for weights in together]


def _strongest(weights: dict[int, float]) -> list[_Neighbour]:
    best = heapq.nsmallest(_MAX_NEIGHBOURS, ((-weight, item) for item, weight in weights.items()))
    return [_Neighbour(item, -weight) for weight, item in best]


def _fading(seconds: int) -> float:
    return exp2(-seconds / _HALF_LIFE_SECONDS)


def _damping(visitors: int) -> float:
    return float(max(visitors, 1) ** -_POPULARITY_DAMPING)


def _scale(weights: dict[int, float]) -> float:
    """What makes the weights sum to the share of probability that taste decides."""
    total = sum(weights.values())
    return (1 - _POPULAR_SHARE) / total if total else 0.0
