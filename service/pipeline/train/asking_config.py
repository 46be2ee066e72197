"""The settings of campaigns and recommenders, as Personalize writes them."""

from collections.abc import Mapping
from typing import Any

from service.pipeline.train.terms import AskingTerms


def asking_config(asking: AskingTerms) -> dict[str, Any]:
    """What both take."""
    config: dict[str, Any] = {"enableMetadataWithRecommendations": True} if asking.metadata else {}
    if asking.exploration is not None:
        config["itemExplorationConfig"] = {
            "explorationWeight": f"{asking.exploration.weight:g}",
            "explorationItemAgeCutOff": f"{asking.exploration.item_age_cut_off:g}",
        }
    return config


def holds(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a description says what is wanted; what else it says is Amazon's defaults."""
    for key, value in wanted.items():
        here = found.get(key)
        if isinstance(value, Mapping):
            if not isinstance(here, Mapping) or not holds(here, value):
                return False
        elif not _is_same(here, value):
            return False
    return True


def _is_same(here: object, wanted: object) -> bool:
    try:
        return here == wanted or float(str(here)) == float(str(wanted))
    except ValueError:
        return False
