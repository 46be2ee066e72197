"""A trained model: what was learned, how to score with it, and how it is kept.

A list follows what the items of the user's history point at, the recent ones first, and the trail of each category that
the user began. Tastes for values of item columns strengthen it, and popularity fills what is left open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from service.local_personalize.training.factorisation import Factors
from service.local_personalize.training.log import Floats, History, Ints
from service.local_personalize.training.neighbours import Neighbours
from service.local_personalize.training.trails import STRENGTH, Trail

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
    trail: Trail | None = None
    tastes: Sequence[Taste] = ()
    events: Mapping[str, float] = field(default_factory=dict)
    """What event types weigh; those that are not there weigh nothing. Empty: all weigh 1."""
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers.update((item_id, number) for number, item_id in enumerate(self.item_ids))

    def for_user(self, history: History) -> Floats:
        """The probability of each item to be next."""
        history = history.latest(self.max_history)
        if self.neighbours is None or not len(history):
            return self.popularity
        strengths = history.weights * self.damping[history.items] * self._fading(history.times)
        scores = self.neighbours.pointed_at(history.items, strengths, count=len(self.item_ids))
        scores /= scores.sum() or 1.0
        if self.trail is not None:
            scores += STRENGTH * self.trail.pointed_at(history, strengths)
        total = scores.sum()
        if not total:
            return self.popularity
        scores = scores * ((1 - self.popular_share) / total) + self.popularity * self.popular_share
        scores *= self._liking(history.items, strengths)
        scores[history.items] *= _SEEN_WEIGHT
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
        arrays |= _packed(model.neighbours)
    elif model.neighbours is not None:
        kind = "factors"
        arrays |= {"vectors": model.neighbours.vectors, "dampings": model.neighbours.dampings}
    if model.trail is not None:
        arrays |= {"trail": model.trail.codes, **_packed(model.trail.later, "trail_")}
    for place, taste in enumerate(model.tastes):
        arrays[f"taste{place}"] = taste.codes
    np.savez(directory / _ARRAYS, **arrays)
    facts = {
        "items": model.item_ids,
        "kind": kind,
        "halfLifeDays": model.half_life_days,
        "maxHistory": model.max_history,
        "popularShare": model.popular_share,
        "trail": model.trail.column if model.trail is not None else "",
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
            neighbours = _unpacked(arrays)
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
            trail=Trail(facts["trail"], arrays["trail"], _unpacked(arrays, "trail_")) if facts.get("trail") else None,
            tastes=[
                Taste(column, arrays[f"taste{place}"], strength)
                for place, (column, strength) in enumerate(facts["tastes"])
            ],
            events=facts["events"],
        )
    return model, facts


def _packed(neighbours: Neighbours, prefix: str = "") -> dict[str, Any]:
    one = neighbours
    return {f"{prefix}starts": one.starts, f"{prefix}items": one.items, f"{prefix}weights": one.weights}


def _unpacked(arrays: Mapping[str, Any], prefix: str = "") -> Neighbours:
    return Neighbours(*(arrays[f"{prefix}{name}"] for name in ("starts", "items", "weights")))
