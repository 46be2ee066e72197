"""The settings of a solution, as Personalize writes them."""

from collections.abc import Iterator
from typing import Any

from service.pipeline.train.recipes import RECIPES
from service.pipeline.train.terms import SolutionTerms


def solution_fields(solution: SolutionTerms) -> dict[str, Any]:
    """What `create_solution` gets besides name, group and automatic training: all that can never be changed."""
    config: dict[str, Any] = {}
    if solution.event_value_threshold is not None:
        config["eventValueThreshold"] = f"{solution.event_value_threshold:g}"
    if solution.hyperparameters:
        config["algorithmHyperParameters"] = {name: _text(value) for name, value in solution.hyperparameters.items()}
    if solution.history_percentiles:
        config["featureTransformationParameters"] = {
            name: f"{value:g}" for name, value in solution.history_percentiles.items()
        }
    if solution.hpo is not None:
        config["hpoConfig"] = {
            "hpoResourceConfig": {
                "maxNumberOfTrainingJobs": str(solution.hpo.jobs),
                "maxParallelTrainingJobs": str(solution.hpo.parallel),
            },
            # Personalize wants all three, though they may be empty.
            "algorithmHyperParameterRanges": dict(_ranges(solution)),
        }
    if solution.event_weights:
        config["eventsConfig"] = {
            "eventParametersList": [
                {"eventType": name, "weight": weight} for name, weight in solution.event_weights.items()
            ]
        }
    if solution.objective is not None:
        config["optimizationObjective"] = {
            "itemAttribute": solution.objective.column,
            "objectiveSensitivity": solution.objective.sensitivity,
        }
    if solution.excluded_columns:
        config["trainingDataConfig"] = {
            "excludedDatasetColumns": {kind.capitalize(): names for kind, names in solution.excluded_columns.items()}
        }
    return {
        "recipeArn": RECIPES[solution.recipe.removeprefix("aws-")].arn,
        "performHPO": solution.hpo is not None,
        **({"eventType": solution.event_type} if solution.event_type else {}),
        **({"solutionConfig": config} if config else {}),
    }


def _ranges(solution: SolutionTerms) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if solution.hpo is None:
        return
    yield (
        "integerHyperParameterRanges",
        [{"name": one.name, "minValue": one.min, "maxValue": one.max} for one in solution.hpo.integer],
    )
    yield (
        "continuousHyperParameterRanges",
        [{"name": one.name, "minValue": one.min, "maxValue": one.max} for one in solution.hpo.continuous],
    )
    yield "categoricalHyperParameterRanges", [{"name": x.name, "values": x.values} for x in solution.hpo.categorical]


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
