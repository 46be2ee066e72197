"""The recipes of Amazon Personalize, and what each can do.

Source: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

PlacementKind = Literal["recommendations", "similar-items", "ranking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe, and which settings of a solution and a campaign it takes."""

    name: str
    """As its ARN ends."""

    kind: PlacementKind = "recommendations"
    hpo: bool = False
    event_weights: bool = False
    exploration: bool = False
    ranking_influence: bool = False
    batch: bool = True

    needs_items: bool = False
    """It learns from the items; interactions are optional."""

    @property
    def arn(self) -> str:
        """The same in every region and account."""
        return f"arn:aws:personalize:::recipe/{self.name}"


RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name.removeprefix("aws-"): recipe
    for recipe in (
        Recipe(name="aws-user-personalization-v2", event_weights=True),
        Recipe(name="aws-user-personalization", hpo=True, exploration=True),
        Recipe(name="aws-personalized-ranking-v2", kind="ranking", event_weights=True),
        Recipe(name="aws-personalized-ranking", kind="ranking", hpo=True),
        Recipe(name="aws-similar-items", kind="similar-items", hpo=True),
        Recipe(name="aws-sims", kind="similar-items", hpo=True),
        Recipe(name="aws-semantic-similarity", kind="similar-items", ranking_influence=True, needs_items=True),
        Recipe(name="aws-popularity-count"),
        Recipe(name="aws-trending-now", batch=False),
    )
}
"""By their names without `aws-`."""

BASELINE: Final = "popularity-count"

USE_CASES: Final[Mapping[str, tuple[str, PlacementKind]]] = {
    "aws-ecomm-recommended-for-you": ("ECOMMERCE", "recommendations"),
    "aws-ecomm-popular-items-by-views": ("ECOMMERCE", "recommendations"),
    "aws-ecomm-popular-items-by-purchases": ("ECOMMERCE", "recommendations"),
    "aws-ecomm-frequently-bought-together": ("ECOMMERCE", "similar-items"),
    "aws-ecomm-customers-who-viewed-x-also-viewed": ("ECOMMERCE", "similar-items"),
    "aws-vod-top-picks": ("VIDEO_ON_DEMAND", "recommendations"),
    "aws-vod-most-popular": ("VIDEO_ON_DEMAND", "recommendations"),
    "aws-vod-trending-now": ("VIDEO_ON_DEMAND", "recommendations"),
    "aws-vod-because-you-watched-x": ("VIDEO_ON_DEMAND", "similar-items"),
    "aws-vod-more-like-x": ("VIDEO_ON_DEMAND", "similar-items"),
}
"""Recipes of recommenders: the domain of their dataset group, and the placement that they fit."""

NEED_USER: Final = frozenset(
    {"aws-ecomm-customers-who-viewed-x-also-viewed", "aws-vod-because-you-watched-x", "aws-vod-more-like-x"}
)
"""Similar items that are asked with a user too."""
