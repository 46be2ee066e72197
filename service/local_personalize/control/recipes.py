"""Recipes: what can be trained, with their hyperparameters.

Source: https://docs.aws.amazon.com/personalize/latest/dg/working-with-predefined-recipes.html; the hyperparameters of
the second versions of recipes are not published, so they have those of the first.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from service.local_personalize.control.refused import invalid_input, not_found
from service.local_personalize.control.resources import Call, Operation

ARN: Final = "arn:aws:personalize:::recipe/"

_CREATED: Final = 1_559_260_800.0
"""When Amazon made its recipes, about."""

USERS: Final = "USER_PERSONALIZATION"
RANKING: Final = "PERSONALIZED_RANKING"
RELATED: Final = "RELATED_ITEMS"
POPULAR: Final = "POPULAR_ITEMS"
SEGMENTATION: Final = "USER_SEGMENTATION"
ACTIONS: Final = "PERSONALIZED_ACTIONS"


@dataclass(frozen=True, slots=True)
class Tunable:
    """A hyperparameter: its default, and the range that HPO may try."""

    default: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    is_tuned: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return self.least is not None and "." not in self.default


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe, or a domain's use case."""

    name: str
    recipe_type: str
    tunables: dict[str, Tunable] = field(default_factory=dict)
    """Of the algorithm."""
    features: dict[str, str] = field(default_factory=dict)
    """Defaults of the feature transformation."""
    domain: str | None = None
    needs_user: bool = False
    needs_item: bool = False
    is_trained_here: bool = True

    @property
    def arn(self) -> str:
        """Amazon's ARN of it."""
        return ARN + self.name


_HISTORY: Final = {"min_user_history_length_percentile": "0.0", "max_user_history_length_percentile": "0.99"}
_HRNN: Final = {
    "hidden_dimension": Tunable("149", 32, 256),
    "bptt": Tunable("32", 2, 32),
    "recency_mask": Tunable("True", choices=("True", "False")),
}
_SIMS: Final = {
    "popularity_discount_factor": Tunable("0.5", 0.0, 1.0),
    "min_cointeraction_count": Tunable("3", 0, 10),
}
_SIMS_FEATURES: Final = {
    "min_user_history_length_percentile": "0.005",
    "max_user_history_length_percentile": "0.995",
    "min_item_interaction_count_percentile": "0.01",
    "max_item_interaction_count_percentile": "0.9",
}
_SIMILAR: Final = {
    "item_id_hidden_dim": Tunable("100", 30, 200),
    "item_metadata_hidden_dim": Tunable("100", 30, 200),
}

_CUSTOM: Final = (
    Recipe("aws-user-personalization", USERS, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-user-personalization-v2", USERS, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-hrnn", USERS, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-hrnn-metadata", USERS, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-hrnn-coldstart", USERS, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-personalized-ranking", RANKING, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-personalized-ranking-v2", RANKING, _HRNN, _HISTORY, needs_user=True),
    Recipe("aws-similar-items", RELATED, _SIMILAR, needs_item=True),
    Recipe("aws-sims", RELATED, _SIMS, _SIMS_FEATURES, needs_item=True),
    Recipe("aws-semantic-similarity", RELATED, needs_item=True),
    Recipe("aws-popularity-count", POPULAR, needs_user=True),
    Recipe("aws-trending-now", POPULAR, needs_user=True),
    Recipe("aws-item-affinity", SEGMENTATION, _HRNN, needs_item=True),
    Recipe("aws-item-attribute-affinity", SEGMENTATION, is_trained_here=False),
    Recipe("aws-next-best-action", ACTIONS, is_trained_here=False),
)

_SHOP: Final = "ECOMMERCE"
_VIDEO: Final = "VIDEO_ON_DEMAND"

_DOMAIN: Final = (
    Recipe("aws-ecomm-recommended-for-you", USERS, domain=_SHOP, needs_user=True),
    Recipe("aws-ecomm-customers-who-viewed-x-also-viewed", RELATED, domain=_SHOP, needs_user=True, needs_item=True),
    Recipe("aws-ecomm-frequently-bought-together", RELATED, domain=_SHOP, needs_item=True),
    Recipe("aws-ecomm-popular-items-by-views", POPULAR, domain=_SHOP, needs_user=True),
    Recipe("aws-ecomm-popular-items-by-purchases", POPULAR, domain=_SHOP, needs_user=True),
    Recipe("aws-vod-top-picks", USERS, domain=_VIDEO, needs_user=True),
    Recipe("aws-vod-because-you-watched-x", RELATED, domain=_VIDEO, needs_user=True, needs_item=True),
    Recipe("aws-vod-more-like-x", RELATED, domain=_VIDEO, needs_user=True, needs_item=True),
    Recipe("aws-vod-most-popular", POPULAR, domain=_VIDEO, needs_user=True),
    Recipe("aws-vod-trending-now", POPULAR, domain=_VIDEO),
)

RECIPES: Final = {recipe.arn: recipe for recipe in (*_CUSTOM, *_DOMAIN)}


def recipe_of(arn: str) -> Recipe:
    """The recipe of this ARN.

    Raises:
        Refusal: ResourceNotFoundException.
    """
    recipe = RECIPES.get(arn)
    if recipe is None:
        raise not_found("Recipe", arn)
    return recipe


def custom_recipe(arn: str) -> Recipe:
    """A recipe that a solution can have and that is trained here.

    Raises:
        Refusal: It does not exist, is a domain's, or is not trained here.
    """
    recipe = recipe_of(arn)
    if recipe.domain is not None:
        raise invalid_input(f"The recipe {arn} is for recommenders of a domain dataset group, not for solutions.")
    if not recipe.is_trained_here:
        raise invalid_input(f"The local Personalize does not train {recipe.name}.")
    return recipe


def operations() -> dict[str, Operation]:
    """ListRecipes, and the Describe operations of a recipe and its parts."""
    return {
        "ListRecipes": _list,
        "DescribeRecipe": lambda call: {"recipe": _described(recipe_of(call.fields["recipeArn"]))},
        "DescribeAlgorithm": _algorithm,
        "DescribeFeatureTransformation": _transformation,
    }


def _list(call: Call) -> dict[str, Any]:
    domain = call.fields.get("domain")
    found = [one for one in RECIPES.values() if domain is None or one.domain == domain]
    return {"recipes": [_described(recipe) for recipe in found[: call.fields.get("maxResults", 100)]]}


def _described(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "recipeArn": recipe.arn,
        "algorithmArn": f"arn:aws:personalize:::algorithm/{recipe.name}",
        "featureTransformationArn": f"arn:aws:personalize:::feature-transformation/{recipe.name}",
        "status": "ACTIVE",
        "description": f"The local Personalize's own reading of {recipe.name}.",
        "recipeType": recipe.recipe_type,
        "domain": recipe.domain,
        "creationDateTime": _CREATED,
        "lastUpdatedDateTime": _CREATED,
    }


def _part_of(arn: str, part: str) -> Recipe:
    prefix = f"arn:aws:personalize:::{part}/"
    recipe = RECIPES.get(ARN + arn.removeprefix(prefix)) if arn.startswith(prefix) else None
    if recipe is None:
        raise not_found(part, arn)
    return recipe


def _algorithm(call: Call) -> dict[str, Any]:
    arn = call.fields["algorithmArn"]
    recipe = _part_of(arn, "algorithm")
    ranges: dict[str, list[dict[str, Any]]] = {
        "integerHyperParameterRanges": [],
        "continuousHyperParameterRanges": [],
        "categoricalHyperParameterRanges": [],
    }
    for name, one in recipe.tunables.items():
        if one.choices:
            value: dict[str, Any] = {"values": list(one.choices)}
            kind = "categorical"
        else:
            value = {"minValue": one.least, "maxValue": one.most}
            kind = "integer" if one.is_whole else "continuous"
        ranges[f"{kind}HyperParameterRanges"].append({"name": name, "isTunable": one.is_tuned, **value})
    described = {
        "name": recipe.name,
        "algorithmArn": arn,
        "algorithmImage": {"name": recipe.name, "dockerURI": "local-personalize"},
        "defaultHyperParameters": {name: one.default for name, one in recipe.tunables.items()},
        "defaultHyperParameterRanges": ranges,
        "defaultResourceConfig": {},
        "trainingInputMode": "File",
        "creationDateTime": _CREATED,
        "lastUpdatedDateTime": _CREATED,
    }
    return {"algorithm": described}


def _transformation(call: Call) -> dict[str, Any]:
    arn = call.fields["featureTransformationArn"]
    recipe = _part_of(arn, "feature-transformation")
    described = {
        "name": recipe.name,
        "featureTransformationArn": arn,
        "defaultParameters": recipe.features,
        "status": "ACTIVE",
        "creationDateTime": _CREATED,
        "lastUpdatedDateTime": _CREATED,
    }
    return {"featureTransformation": described}
