"""A trained model's lists over the live data of its group."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.local_personalize.data import Dataset, Interaction
from service.local_personalize.learn import ScoredItem
from service.local_personalize.serving.filters import Passes
from service.local_personalize.training.log import Floats, History
from service.local_personalize.training.metrics import top
from service.local_personalize.training.model import Model, load_model


class TrainedLists:
    """Lists of one solution version.

    Args:
        model: What was learned.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @classmethod
    def load(cls, directory: Path) -> "TrainedLists":
        """Those of the model in a directory."""
        return cls(load_model(directory)[0])

    def for_user(self, user_id: str, data: Dataset, *, count: int, passes: Passes | None = None) -> list[ScoredItem]:
        """The user's best items with probabilities that sum to 1 over all items; popular ones for an unknown user."""
        scores = self._of_user(user_id, data)
        return self._listed(scores, count=count, passes=passes, is_scored=self._model.neighbours is not None)

    def for_item(self, item_id: str, *, count: int, passes: Passes | None = None) -> list[ScoredItem]:
        """The items nearest to this one, without it; popular ones for an unknown item. They have no scores."""
        scores = self._model.for_item(self._model.numbers.get(item_id))
        found = self._listed(scores, count=count + 1, passes=passes, is_scored=False)
        return [one for one in found if one.item_id != item_id][:count]

    def ranking(
        self, user_id: str, item_ids: Sequence[str], data: Dataset, *, passes: Passes | None = None
    ) -> list[ScoredItem]:
        """The given items that pass, best first, with scores that sum to 1; unknown ones follow as given, at 0."""
        asked = [one for one in dict.fromkeys(item_ids) if passes is None or passes(one)]
        scores = self._of_user(user_id, data)
        found = {one: float(scores[self._model.numbers[one]]) for one in asked if one in self._model.numbers}
        total = sum(found.values()) or 1.0
        ranked = sorted(asked, key=lambda one: -found.get(one, -1.0))
        return [ScoredItem(one, found.get(one, 0.0) / total) for one in ranked]

    def users_for(self, item_id: str, data: Dataset, *, count: int) -> list[str]:
        """The users who are likeliest to want this item, best first; nobody for an unknown item."""
        number = self._model.numbers.get(item_id)
        if number is None:
            return []
        chances = {user_id: float(self._of_user(user_id, data)[number]) for user_id in data.histories}
        return sorted(chances, key=lambda user_id: (-chances[user_id], user_id))[:count]

    def _of_user(self, user_id: str, data: Dataset) -> Floats:
        return self._model.for_user(self._history(data.histories.get(user_id, ())))

    def _listed(self, scores: Floats, *, count: int, passes: Passes | None, is_scored: bool) -> list[ScoredItem]:
        ids = self._model.item_ids
        if passes is None:
            places = top(scores, min(count, len(ids))).tolist()
        else:
            # What a filter drops is refilled from further down.
            order = np.argsort(-scores, kind="stable").tolist()
            places = []
            for place in order:
                if passes(ids[place]):
                    places.append(place)
                    if len(places) == count:
                        break
        return [ScoredItem(ids[place], float(scores[place]) if is_scored else None) for place in places]

    def _history(self, rows: Sequence[Interaction]) -> History:
        """The latest visit to each item that the model knows, oldest first, with the weight of its heaviest event."""
        events, numbers = self._model.events, self._model.numbers
        latest: dict[int, int] = {}
        firsts: dict[int, int] = {}
        weights: dict[int, float] = {}
        for row in rows:
            number = numbers.get(row.item_id)
            weight = events.get(row.event_type.lower(), 0.0) if events else 1.0
            if number is None or not weight:
                continue
            firsts.setdefault(number, row.timestamp)
            latest.pop(number, None)
            latest[number] = row.timestamp
            weights[number] = max(weight, weights.get(number, 0.0))
        return History(
            np.array(list(latest), dtype=np.int64),
            np.array(list(latest.values()), dtype=np.int64),
            np.array([firsts[number] for number in latest], dtype=np.int64),
            np.array([weights[number] for number in latest], dtype=np.float64),
        )
