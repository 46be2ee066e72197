"""A trained model: what was learned, how to score with it, and how it is kept.

A list follows what the items of the user's history point at, the recent ones first; tastes for values of item columns
strengthen it, and popularity fills what is left open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from service.local_personalize.training.factorisation import Factors
from service.local_personalize.training.log import Floats, Ints
from service.local_personalize.training.neighbours import Neighbours

_SEEN_WEIGHT: Final = 0.1
"""What is left of the weight of an item that is in the user's history: lists lead with what is new."""

_FACTS: Final = "model.json"
_ARRAYS: Final = "model.npz"


@dataclass(frozen=True, slots=True)
class Taste:
    """A column of items whose values users have a taste for."""

    column: str
    codes: Ints
    """Each item's value, as a number; -1 without one."""
    strength: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What was learned; items are numbers, in the order of `item_ids`."""

    item_ids: list[str]
    neighbours: Neighbours | Factors | None
    """None where lists are the same for everybody."""
    popularity: Floats
    """Sums to 1; what fills lists, and all that an unknown user gets."""
    damping: Floats
    """What an item of the history counts, less for popular ones."""
    half_life_days: float
    """Time in which an item of the history loses half its strength; 0: time plays no part."""
    max_history: int
    popular_share: float
    tastes: Sequence[Taste] = ()
    events: Mapping[str, float] = field(default_factory=dict)
    """What event types weigh; those that are not there weigh nothing. Empty: all weigh 1."""
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers.update((item_id, number) for number, item_id in enumerate(self.item_ids))

    def for_user(self, items: Ints, times: Ints, weights: Floats) -> Floats:
        """The probability of each item to be next, for a history of distinct items, oldest first."""
        items, times, weights = items[-self.max_history :], times[-self.max_history :], weights[-self.max_history :]
        if self.neighbours is None or not len(items):
            return self.popularity
        strengths = weights * self.damping[items] * self._fading(times)
        scores = self.neighbours.pointed_at(items, strengths, count=len(self.item_ids))
        total = scores.sum()
        if not total:
            return self.popularity
        scores = scores * ((1 - self.popular_share) / total) + self.popularity * self.popular_share
        scores *= self._liking(items, strengths)
        scores[items] *= _SEEN_WEIGHT
        probabilities: Floats = scores / scores.sum()
        return probabilities

    def for_item(self, item: int | None) -> Floats:
        """How near each item is to one; popular ones far behind, and the item itself last."""
        if item is None or self.neighbours is None:
            return self.popularity
        near = self.neighbours.pointed_at(np.array([item]), np.ones(1), count=len(self.item_ids))
        total = near.sum()
        scores = (near / total if total else near) + self.popularity * 1e-6
        scores *= self._liking(np.array([item]), np.ones(1))
        scores[item] = -1.0
        return scores

    def _fading(self, times: Ints) -> Floats:
        if not self.half_life_days:
            return np.ones(len(times))
        fading: Floats = np.exp2(-(times[-1] - times) / (self.half_life_days * 86_400))
        return fading

    def _liking(self, items: Ints, strengths: Floats) -> Floats:
        liking = np.ones(len(self.item_ids))
        for taste in self.tastes:
            codes = taste.codes[items]
            known = codes >= 0
            if known.any():
                share = np.bincount(codes[known], weights=strengths[known], minlength=int(taste.codes.max()) + 1)
                liking += taste.strength * np.where(taste.codes >= 0, share[taste.codes], 0.0) / strengths.sum()
        return liking


def save_model(model: Model, directory: Path, further: dict[str, Any]) -> None:
    """Write the model, and facts beside it, into a directory that exists."""
    arrays: dict[str, Any] = {"popularity": model.popularity, "damping": model.damping}
    kind = "none"
    if isinstance(model.neighbours, Neighbours):
        kind = "neighbours"
        one = model.neighbours
        arrays |= {"starts": one.starts, "items": one.items, "weights": one.weights}
    elif model.neighbours is not None:
        kind = "factors"
        arrays |= {"vectors": model.neighbours.vectors, "dampings": model.neighbours.dampings}
    for place, taste in enumerate(model.tastes):
        arrays[f"taste{place}"] = taste.codes
    np.savez(directory / _ARRAYS, **arrays)
    facts = {
        "items": model.item_ids,
        "kind": kind,
        "halfLifeDays": model.half_life_days,
        "maxHistory": model.max_history,
        "popularShare": model.popular_share,
        "tastes": [[taste.column, taste.strength] for taste in model.tastes],
        "events": dict(model.events),
        **further,
    }
    (directory / _FACTS).write_bytes(orjson.dumps(facts))


def load_model(directory: Path) -> tuple[Model, dict[str, Any]]:
    """The model and the facts that `save_model` wrote."""
    facts: dict[str, Any] = orjson.loads((directory / _FACTS).read_bytes())
    with np.load(directory / _ARRAYS) as arrays:
        neighbours: Neighbours | Factors | None = None
        if facts["kind"] == "neighbours":
            neighbours = Neighbours(arrays["starts"], arrays["items"], arrays["weights"])
        elif facts["kind"] == "factors":
            neighbours = Factors(arrays["vectors"], arrays["dampings"])
        model = Model(
            item_ids=facts["items"],
            neighbours=neighbours,
            popularity=arrays["popularity"],
            damping=arrays["damping"],
            half_life_days=facts["halfLifeDays"],
            max_history=facts["maxHistory"],
            popular_share=facts["popularShare"],
            tastes=[
                Taste(column, arrays[f"taste{place}"], strength)
                for place, (column, strength) in enumerate(facts["tastes"])
            ],
            events=facts["events"],
        )
    return model, facts
