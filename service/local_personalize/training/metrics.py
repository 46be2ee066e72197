"""What a model is worth, in Amazon's words.

Source: https://docs.aws.amazon.com/personalize/latest/dg/working-with-training-metrics.html
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from service.local_personalize.training.log import Floats, Ints
from service.local_personalize.training.model import Model
from service.local_personalize.training.split import Case

LENGTH: Final = 25
"""Items in the lists that are judged."""

_CUTS: Final = (5, 10, 25)
_DISCOUNTS: Final = 1 / np.log2(np.arange(2, LENGTH + 2))

CHOSEN_BY: Final = "normalized_discounted_cumulative_gain_at_25"
"""The metric that decides between models."""

Scores = Callable[[Case], Floats]


def for_users(model: Model) -> Scores:
    """Scores of a user's list."""
    return lambda case: model.for_user(case.history)


def for_related(model: Model) -> Scores:
    """Scores of the list of the item that the user had last."""
    return lambda case: model.for_item(int(case.history.items[-1]))


def judge(scores: Scores, cases: Sequence[Case], *, items: int) -> dict[str, float]:
    """Coverage, MRR, NDCG and precision, each a mean over the cases between 0 and 1; zeros without a case."""
    shown: set[int] = set()
    hits = np.zeros((len(cases), LENGTH))
    ideal = np.zeros((len(cases), LENGTH))
    for place, case in enumerate(cases):
        best = top(scores(case), LENGTH)
        shown.update(best.tolist())
        hits[place, : len(best)] = [item in case.answers for item in best.tolist()]
        ideal[place, : min(len(case.answers), LENGTH)] = 1.0
    count = max(1, len(cases))
    first = np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)
    metrics = {"coverage": len(shown) / max(1, items), "mean_reciprocal_rank_at_25": float(first.sum() / count)}
    for cut in _CUTS:
        gains, best_gains = hits[:, :cut] @ _DISCOUNTS[:cut], ideal[:, :cut] @ _DISCOUNTS[:cut]
        ratio = np.divide(gains, best_gains, out=np.zeros(len(cases)), where=best_gains > 0)
        metrics[f"normalized_discounted_cumulative_gain_at_{cut}"] = float(ratio.sum() / count)
        metrics[f"precision_at_{cut}"] = float(hits[:, :cut].sum() / cut / count)
    return {name: round(value, 4) for name, value in metrics.items()}


def top(scores: Floats, count: int) -> Ints:
    """The items of the highest scores, best first; equal ones in the order of their ids."""
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        found = np.flatnonzero(scores >= least)
    else:
        found = np.arange(len(scores))
    order = np.lexsort((found, -scores[found]))
    return found[order][:count]
