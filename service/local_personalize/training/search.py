"""HPO: really tries hyperparameters, as many as asked for, and keeps the best by the metric."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

DEFAULT_JOBS: Final = 8
MAX_JOBS: Final = 40
"""Tries of one solution version. Source: https://docs.aws.amazon.com/personalize/latest/dg/customizing-solution-config-hpo.html"""


@dataclass(frozen=True, slots=True)
class Range:
    """What may be tried for one hyperparameter: numbers from least to most, or choices."""

    name: str
    least: float = 0.0
    most: float = 0.0
    is_whole: bool = False
    choices: Sequence[str] = ()

    def draw(self, random: Random) -> str:
        """One of the values."""
        if self.choices:
            return random.choice(self.choices)
        if self.is_whole:
            return str(random.randint(int(self.least), int(self.most)))
        return f"{random.uniform(self.least, self.most):.4f}"


def ranges_of(given: Mapping[str, Any]) -> list[Range]:
    """The ranges of Amazon's `algorithmHyperParameterRanges`."""
    return [
        *(
            Range(one["name"], one["minValue"], one["maxValue"], is_whole=True)
            for one in given.get("integerHyperParameterRanges", ())
        ),
        *(
            Range(one["name"], one["minValue"], one["maxValue"])
            for one in given.get("continuousHyperParameterRanges", ())
        ),
        *(Range(one["name"], choices=one["values"]) for one in given.get("categoricalHyperParameterRanges", ())),
    ]


def search(
    ranges: Sequence[Range], fixed: Mapping[str, str], *, jobs: int, worth: Callable[[Mapping[str, str]], float]
) -> dict[str, str]:
    """The best hyperparameters of all tries, the fixed ones among them; the same data always give the same.

    The first try takes the fixed values as they are.
    """
    random = Random(0)  # noqa: S311  # a search, no secret
    best, best_worth = dict(fixed), worth(fixed)
    for _ in range(min(jobs, MAX_JOBS) - 1):
        tried = {**fixed, **{one.name: one.draw(random) for one in ranges}}
        found = worth(tried)
        if found > best_worth:
            best, best_worth = tried, found
    return best
