"""What an ARN of the runtime stands for: a campaign or recommender that answers, and filters beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.filters import Filter, parse_filter
from service.local_personalize.control.control_plane import ControlPlane
from service.local_personalize.control.recipes import Recipe, recipe_of
from service.local_personalize.control.store import Record
from service.local_personalize.refusals import invalid_input, not_found

NOUNS = ("Campaign", "Recommender")


@dataclass(frozen=True, slots=True)
class Target:
    """What answers a call."""

    arn: str
    recipe: Recipe
    group_arn: str
    model: Path
    minimum_tps: float
    config: dict[str, Any]
    """Amazon's campaignConfig or recommenderConfig."""


class Targets:
    """Finds targets and filters in the control plane.

    Args:
        control: Has them.
    """

    def __init__(self, control: ControlPlane) -> None:
        self._control = control
        self._parsed: dict[str, Filter] = {}

    def knows(self, arn: object) -> bool:
        """Whether the control plane has a campaign or recommender of this ARN."""
        record = self._control.plane.store.get(arn) if isinstance(arn, str) else None
        return record is not None and record["_noun"] in NOUNS

    def target(self, noun: str, arn: str) -> Target:
        """The campaign or recommender of this ARN.

        Raises:
            Refusal: There is none that answers.
        """
        self._control.advance()
        record = self._control.plane.store.get(arn)
        if record is None or record["_noun"] != noun or not _answers(record):
            raise not_found(f"There is no {noun} {arn} that is ACTIVE")
        if noun == "Recommender":
            config = record.get("recommenderConfig", {})
            model, minimum = record["_model"], config.get("minRecommendationRequestsPerSecond", 1)
        else:
            config = record["campaignConfig"]
            version = self._control.plane.found("SolutionVersion", record["solutionVersionArn"])
            record = {**version, **record}
            model, minimum = version["_model"], record["minProvisionedTPS"]
        return Target(arn, recipe_of(record["recipeArn"]), record["datasetGroupArn"], Path(model), minimum, config)

    def filter(self, arn: str, group_arn: str) -> Filter:
        """The filter of this ARN.

        Raises:
            Refusal: There is none that is active, or it belongs to another group.
        """
        record = self._control.plane.store.get(arn)
        if record is None or record["_noun"] != "Filter" or record["status"] != "ACTIVE":
            raise not_found(f"There is no filter {arn} that is ACTIVE")
        if record["datasetGroupArn"] != group_arn:
            raise invalid_input(f"The filter {arn} is not of the campaign's dataset group")
        text = record["filterExpression"]
        if text not in self._parsed:
            self._parsed[text] = parse_filter(text)
        return self._parsed[text]


def _answers(record: Record) -> bool:
    """A campaign goes on while it is updated; a recommender too."""
    status: str = record["status"]
    return status == "ACTIVE" or status.startswith("UPDATE")
