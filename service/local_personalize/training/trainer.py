"""From interactions to a model: what each kind of recipe tries, and which of it is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from service.local_personalize.training.content import by_text
from service.local_personalize.training.counts import popularity, trend
from service.local_personalize.training.factorisation import Factors, factorise
from service.local_personalize.training.log import Log, latest_visits
from service.local_personalize.training.metrics import CHOSEN_BY, for_related, for_users, judge
from service.local_personalize.training.model import Model
from service.local_personalize.training.neighbours import Neighbours, co_visitation, item_knn, visitors_of
from service.local_personalize.training.split import Case
from service.local_personalize.training.tastes import STRENGTH, choose_tastes, with_tastes

RELATED: Final = frozenset({"similar-items", "sims", "semantic"})
"""Families whose lists belong to an item."""

_IMPERSONAL: Final = frozenset({"popular", "trending"})
"""Families whose lists are the same for everybody."""

_HALF_LIFE_DAYS: Final = 180.0
_DAMPING: Final = 0.3
_POPULAR_SHARE: Final = 0.05
_MOST_VISITS: Final = 100
_HUNDRED_DIMENSIONS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to train."""

    family: str
    """`users`, `similar-items`, `sims`, `semantic`, `popular` or `trending`."""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    taste_columns: Sequence[str] = ()
    text_column: str = ""
    events: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was best: which way to say what belongs together, and which columns users have a taste for."""

    way: int = 0
    taste_columns: tuple[str, ...] = ()


def choose(wanted: Wanted, log: Log, cases: Sequence[Case]) -> Choice:
    """What makes the best model of the family, judged by cases whose users are not in the log."""
    ways = _makers(wanted)
    if not cases or (len(ways) < 2 and not _has_tastes(wanted)):  # noqa: PLR2004  # a choice needs two
        return Choice()
    models = [fit(wanted, log, Choice(way)) for way in range(len(ways))]
    worths = [judge_model(model, wanted.family, cases)[CHOSEN_BY] for model in models]
    best = max(range(len(ways)), key=worths.__getitem__)
    chosen = choose_tastes(
        models[best],
        wanted.items,
        wanted.taste_columns if _has_tastes(wanted) else (),
        worth=lambda model: judge_model(model, wanted.family, cases)[CHOSEN_BY],
        strength=_strength(wanted),
    )
    return Choice(best, tuple(chosen))


def fit(wanted: Wanted, log: Log, choice: Choice) -> Model:
    """The model of a choice."""
    if wanted.family in _IMPERSONAL:
        return _impersonal(wanted, log)
    visits = latest_visits(log, most=_MOST_VISITS)
    model = _model(wanted, visits, _makers(wanted)[choice.way])
    return with_tastes(model, wanted.items, choice.taste_columns, strength=_strength(wanted))


def _has_tastes(wanted: Wanted) -> bool:
    return wanted.family in ("users", "similar-items")


def _strength(wanted: Wanted) -> float:
    dimensions = float(wanted.hyperparameters.get("item_metadata_hidden_dim", _HUNDRED_DIMENSIONS))
    return STRENGTH * dimensions / _HUNDRED_DIMENSIONS


def judge_model(model: Model, family: str, cases: Sequence[Case]) -> dict[str, float]:
    """What a model of the family is worth."""
    scores = for_related(model) if family in RELATED else for_users(model)
    return judge(scores, cases, items=len(model.item_ids))


_Maker = Callable[[Log], Neighbours | Factors]


def _makers(wanted: Wanted) -> list[_Maker]:
    given = wanted.hyperparameters
    if wanted.family in _IMPERSONAL:
        return []
    if wanted.family == "semantic":
        return [
            lambda visits: by_text(
                [wanted.items.get(item_id, {}).get(wanted.text_column, "") for item_id in visits.item_ids]
            )
        ]
    discount = float(given.get("popularity_discount_factor", 0.5))
    together = int(given.get("min_cointeraction_count", 3 if wanted.family == "sims" else 1))
    if wanted.family == "sims":
        return [lambda visits: item_knn(visits, discount=discount, least_together=together)]
    dimensions = int(given.get("hidden_dimension", given.get("item_id_hidden_dim", 149)))
    half_life = _half_life(wanted)
    return [
        lambda visits: co_visitation(visits, half_life_days=half_life, damping=_DAMPING),
        lambda visits: item_knn(visits, discount=discount, least_together=together),
        lambda visits: factorise(visits, dimensions=dimensions),
    ]


def _model(wanted: Wanted, visits: Log, make: _Maker) -> Model:
    return Model(
        item_ids=visits.item_ids,
        neighbours=make(visits),
        popularity=popularity(visits),
        damping=np.maximum(visitors_of(visits), 1.0) ** -_DAMPING,
        half_life_days=_half_life(wanted),
        max_history=int(wanted.hyperparameters.get("bptt", 32)),
        popular_share=_POPULAR_SHARE,
        events=wanted.events,
    )


def _half_life(wanted: Wanted) -> float:
    is_recent_first = wanted.hyperparameters.get("recency_mask", "True").lower() == "true"
    return _HALF_LIFE_DAYS if is_recent_first else 0.0


def _impersonal(wanted: Wanted, log: Log) -> Model:
    visits = latest_visits(log, most=_MOST_VISITS)
    return Model(
        item_ids=log.item_ids,
        neighbours=None,
        popularity=trend(log) if wanted.family == "trending" else popularity(visits),
        damping=np.ones(len(log.item_ids)),
        half_life_days=0.0,
        max_history=1,
        popular_share=1.0,
        events=wanted.events,
    )
