"""Solutions: a recipe and its configuration."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

from service.local_personalize.control.durations import UPDATE_MINUTES
from service.local_personalize.control.recipes import Recipe, custom_recipe
from service.local_personalize.control.refused import in_use, invalid_input
from service.local_personalize.control.resources import Call, Plane, Resources
from service.local_personalize.control.store import Record

UPDATE: Final = "latestSolutionUpdate"
_RANGES: Final = tuple(f"{kind}HyperParameterRanges" for kind in ("integer", "continuous", "categorical"))
_RATE: Final = re.compile(r"rate\((\d+) days?\)")
MAX_RATE_DAYS: Final = 30


class Solutions(Resources):
    """CreateSolution and its siblings."""

    noun: ClassVar[str] = "Solution"

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        plane.transitions.on_end(self.noun, "UPDATE", self._take_update)
        plane.transitions.on_end(self.noun, "DELETE", self._drop_versions)

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        fields = call.fields
        if fields.get("performAutoML"):
            raise invalid_input("The local Personalize does not carry out performAutoML; give a recipeArn.")
        if "recipeArn" not in fields:
            raise invalid_input("Provide a recipeArn.")
        recipe = custom_recipe(fields["recipeArn"])
        group = self.plane.ready("DatasetGroup", fields["datasetGroupArn"])
        config = fields.get("solutionConfig", {})
        _check_config(config, recipe, performs_hpo=fields.get("performHPO", False))
        record = self.new(
            call,
            fields["name"],
            performHPO=fields.get("performHPO", False),
            performAutoML=False,
            performAutoTraining=fields.get("performAutoTraining", True),
            performIncrementalUpdate=fields.get("performIncrementalUpdate", False),
            solutionConfig=config,
        )
        self.plane.quotas.check("solutions", self.noun, datasetGroupArn=group["_arn"])
        self.begin(record)
        return record

    def describe(self, call: Call) -> dict[str, Any]:
        """See `Resources.describe`; with the latest version."""
        record = self.found(call.fields["solutionArn"])
        versions = list(self.plane.store.of("SolutionVersion", solutionArn=record["_arn"]))
        return {"solution": {**record, "latestSolutionVersion": versions[-1] if versions else None}}

    def update(self, call: Call) -> dict[str, Any]:
        """See `Resources.update`: automatic training, incremental updates and weights of events."""
        record = self.plane.ready(self.noun, call.fields["solutionArn"])
        if self.plane.transitions.is_going_on(record["_arn"]):
            raise in_use(f"Solution {record['_arn']} is being updated.")
        config = call.fields.get("solutionUpdateConfig", {})
        _check_rate(config)
        now = self.plane.durations.now()
        update = {key: value for key, value in call.fields.items() if key != "solutionArn"}
        record[UPDATE] = {**update, "creationDateTime": now}
        self.plane.transitions.begin(record, verb="UPDATE", minutes=UPDATE_MINUTES, part=UPDATE)
        return record

    def users(self, record: Record) -> Iterator[Record]:
        """Campaigns of its versions, and versions that are at work."""
        yield from self.plane.store.of("Campaign", solutionArn=record["_arn"])
        for version in self.plane.store.of("SolutionVersion", solutionArn=record["_arn"]):
            if not self._is_at_rest(version):
                yield version

    def _drop_versions(self, record: Record, _: Record, __: dict[str, Any]) -> None:
        for version in self.plane.store.of("SolutionVersion", solutionArn=record["_arn"]):
            self.plane.store.remove(version["_arn"])
            if model := version.get("_model"):
                shutil.rmtree(Path(model).parent, ignore_errors=True)

    @staticmethod
    def _take_update(record: Record, _: Record, __: dict[str, Any]) -> None:
        update = record[UPDATE]
        record.update({k: v for k, v in update.items() if k in ("performAutoTraining", "performIncrementalUpdate")})
        record["solutionConfig"] = {**record["solutionConfig"], **update.get("solutionUpdateConfig", {})}


def _check_config(config: dict[str, Any], recipe: Recipe, *, performs_hpo: bool) -> None:
    """Refuse a configuration that the recipe does not have."""
    for name, value in config.get("algorithmHyperParameters", {}).items():
        _check_value(name, value, recipe)
    for name in config.get("featureTransformationParameters", {}):
        if name not in recipe.features:
            raise invalid_input(f"{recipe.name} has no feature transformation parameter {name}.")
    if "hpoConfig" in config:
        if not performs_hpo:
            raise invalid_input("hpoConfig needs performHPO.")
        _check_hpo(config["hpoConfig"], recipe)
    elif performs_hpo and not recipe.tunables:
        raise invalid_input(f"{recipe.name} has no hyperparameters to optimise; performHPO must be false.")
    if "eventsConfig" in config and not recipe.name.endswith("-v2"):
        raise invalid_input(f"eventsConfig is not supported by {recipe.name}.")
    _check_rate(config)


def _check_value(name: str, value: str, recipe: Recipe) -> None:
    tunable = recipe.tunables.get(name)
    if tunable is None:
        raise invalid_input(f"{recipe.name} has no hyperparameter {name}.")
    if tunable.choices:
        if value.capitalize() not in tunable.choices:
            raise invalid_input(f"The hyperparameter {name} must be one of {', '.join(tunable.choices)}.")
        return
    try:
        number = float(value)
    except ValueError as error:
        raise invalid_input(f"The hyperparameter {name} must be a number, not {value!r}.") from error
    if tunable.least is not None and tunable.most is not None and not tunable.least <= number <= tunable.most:
        raise invalid_input(f"The hyperparameter {name} must lie between {tunable.least} and {tunable.most}.")


def _check_hpo(hpo: dict[str, Any], recipe: Recipe) -> None:
    resources = hpo.get("hpoResourceConfig", {})
    for name, value in resources.items():
        if not str(value).isdecimal() or int(value) < 1:
            raise invalid_input(f"{name} must be a whole number above 0, written as a string.")
    ranges = hpo.get("algorithmHyperParameterRanges")
    if ranges is None:
        return
    if missing := [name for name in _RANGES if name not in ranges]:
        raise invalid_input(f"algorithmHyperParameterRanges lacks {missing[0]}; it may be empty.")
    for kind in _RANGES:
        for one in ranges[kind]:
            ends = one["values"] if "values" in one else [str(one["minValue"]), str(one["maxValue"])]
            for value in ends:
                _check_value(one["name"], value, recipe)


def _check_rate(config: dict[str, Any]) -> None:
    text = config.get("autoTrainingConfig", {}).get("schedulingExpression")
    if text is not None:
        found = _RATE.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= MAX_RATE_DAYS:
            raise invalid_input(f"schedulingExpression must be rate(1 day) to rate({MAX_RATE_DAYS} days).")
