"""From interactions to a model: what each kind of recipe tries, and which of it is kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from service.local_personalize.training.content import by_text
from service.local_personalize.training.counts import interest, popularity, trend
from service.local_personalize.training.factorisation import Factors, factorise
from service.local_personalize.training.log import Log, latest_visits
from service.local_personalize.training.metrics import CHOSEN_BY, for_related, for_users, judge
from service.local_personalize.training.model import Model
from service.local_personalize.training.neighbours import Neighbours, co_visitation, item_knn, visitors_of
from service.local_personalize.training.split import Case, Split
from service.local_personalize.training.tastes import (
    LEAST_GAIN,
    MAX_COLUMNS,
    STRENGTH,
    choose_tastes,
    choose_trail,
    with_tastes,
)
from service.local_personalize.training.trails import Trail, make_trail

RELATED: Final = frozenset({"similar-items", "sims", "semantic"})
"""Families whose lists belong to an item."""

_IMPERSONAL: Final = frozenset({"popular", "trending"})
"""Families whose lists are the same for everybody."""

_HALF_LIFE_DAYS: Final = 180.0
_DAMPING: Final = 0.3
_POPULAR_SHARE: Final = 0.05
_MOST_VISITS: Final = 100
_HUNDRED_DIMENSIONS: Final = 100
_MIN_NEWCOMERS: Final = 20
"""With fewer, chance would choose."""


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
    """What was best, judged by users whom the model does not know."""

    way: int = 0
    """Which way to say what belongs together."""
    is_by_interactions: bool = False
    """How popularity counts: each interaction, or each user once."""
    trail_column: str = ""
    """The column whose values users begin and go on in; empty without one."""
    taste_columns: tuple[str, ...] = ()


def choose(wanted: Wanted, parts: Split) -> Choice:
    """What makes the best model of the family."""
    ways = _makers(wanted)
    cases = parts.choosing
    if not cases or (len(ways) < 2 and not _has_tastes(wanted)):  # noqa: PLR2004  # a choice needs two
        return Choice()

    def worth(model: Model, judged: Sequence[Case] = cases) -> float:
        return judge_model(model, wanted.family, judged)[CHOSEN_BY]

    models = [fit(wanted, parts.training, Choice(way)) for way in range(len(ways))]
    worths = [worth(model) for model in models]
    best = max(range(len(ways)), key=worths.__getitem__)
    model, choice = models[best], Choice(best)
    if wanted.family == "users":
        choice = replace(
            choice,
            is_by_interactions=_is_better_by_interactions(model, parts, worth),
            trail_column=choose_trail(model, _trails(wanted, parts.training), worth),
        )
        model = fit(wanted, parts.training, choice)
    columns = wanted.taste_columns if _has_tastes(wanted) else ()
    chosen = choose_tastes(model, wanted.items, columns, worth=worth, strength=_strength(wanted))
    return replace(choice, taste_columns=tuple(chosen))


def fit(wanted: Wanted, log: Log, choice: Choice) -> Model:
    """The model of a choice."""
    if wanted.family in _IMPERSONAL:
        return _impersonal(wanted, log)
    visits = latest_visits(log, most=_MOST_VISITS)
    model = Model(
        item_ids=visits.item_ids,
        neighbours=_makers(wanted)[choice.way](visits),
        popularity=interest(log) if choice.is_by_interactions else popularity(visits),
        damping=np.maximum(visitors_of(visits), 1.0) ** -_DAMPING,
        half_life_days=_half_life(wanted),
        max_history=int(wanted.hyperparameters.get("bptt", 32)),
        popular_share=_POPULAR_SHARE,
        trail=make_trail(visits, wanted.items, choice.trail_column) if choice.trail_column else None,
        events=wanted.events,
    )
    return with_tastes(model, wanted.items, choice.taste_columns, strength=_strength(wanted))


def _is_better_by_interactions(model: Model, parts: Split, worth: Callable[[Model, Sequence[Case]], float]) -> bool:
    """Whether who comes to one item only comes rather to what others come back to."""
    if len(parts.newcomers) < _MIN_NEWCOMERS:
        return False
    by_interactions = worth(replace(model, popularity=interest(parts.training)), parts.newcomers)
    return by_interactions > worth(model, parts.newcomers) * LEAST_GAIN


def _trails(wanted: Wanted, log: Log) -> Iterator[Trail]:
    visits = latest_visits(log, most=_MOST_VISITS)
    return (make_trail(visits, wanted.items, column) for column in wanted.taste_columns[:MAX_COLUMNS])


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
