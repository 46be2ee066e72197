"""Campaigns: a version that answers, and its updates."""

from typing import Any, ClassVar, Final

from service.local_personalize.control.durations import UPDATE_MINUTES
from service.local_personalize.control.mishaps import Mishap
from service.local_personalize.control.names import LATEST
from service.local_personalize.control.recipes import RELATED, USERS, recipe_of
from service.local_personalize.control.refused import in_use, invalid_input
from service.local_personalize.control.resources import Call, Plane, Resources
from service.local_personalize.control.solution_versions import SolutionVersions
from service.local_personalize.control.store import Record

UPDATE: Final = "latestCampaignUpdate"
_EXPLORATION: Final = {"explorationWeight": (0.0, 1.0), "explorationItemAgeCutOff": (0.0, 1e6)}


class Campaigns(Resources):
    """CreateCampaign and its siblings.

    While a campaign is updated its old version answers.

    Args:
        plane: What it works with.
        versions: Finds the latest version, where a campaign follows it.
    """

    noun: ClassVar[str] = "Campaign"

    def __init__(self, plane: Plane, versions: SolutionVersions) -> None:
        super().__init__(plane)
        self._versions = versions
        plane.transitions.on_end(self.noun, "UPDATE", self._take_update)
        versions.listeners.append(self._follow)

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        config = call.fields.get("campaignConfig", {})
        version = self._version(call.fields["solutionVersionArn"], config)
        _check_config(config, version)
        record = self.new(
            call,
            call.fields["name"],
            solutionVersionArn=version["_arn"],
            solutionArn=version["solutionArn"],
            datasetGroupArn=version["datasetGroupArn"],
            minProvisionedTPS=call.fields.get("minProvisionedTPS", 1),
            campaignConfig=config,
        )
        self.plane.quotas.check("campaigns", self.noun, datasetGroupArn=version["datasetGroupArn"])
        self.begin(record, failure=self.plane.mishaps.failure(Mishap.FAIL_CAMPAIGN))
        return record

    def update(self, call: Call) -> dict[str, Any]:
        """See `Resources.update`."""
        record = self.found(call.fields["campaignArn"])
        if record["status"] not in ("ACTIVE", "CREATE FAILED"):
            raise in_use(f"Campaign {record['_arn']} is in status {record['status']} and cannot be updated.")
        if self.plane.transitions.is_going_on(record["_arn"]):
            raise in_use(f"Campaign {record['_arn']} is being updated.")
        wanted: dict[str, Any] = {**record, **call.fields}
        config = wanted["campaignConfig"]
        version = self._version(wanted["solutionVersionArn"], config)
        if version["solutionArn"] != record["solutionArn"]:
            raise invalid_input("A campaign can only be updated to a version of its own solution.")
        _check_config(config, version)
        self._begin_update(record, version, wanted["minProvisionedTPS"], config)
        return record

    def _begin_update(self, record: Record, version: Record, tps: int, config: dict[str, Any]) -> None:
        record[UPDATE] = {
            "solutionVersionArn": version["_arn"],
            "minProvisionedTPS": tps,
            "campaignConfig": config,
            "creationDateTime": self.plane.transitions.moment,
        }
        failure = self.plane.mishaps.failure(Mishap.FAIL_CAMPAIGN_UPDATE)
        self.plane.transitions.begin(record, verb="UPDATE", minutes=UPDATE_MINUTES, part=UPDATE, failure=failure)

    def _version(self, arn: str, config: dict[str, Any]) -> Record:
        """The version that is meant, which is ACTIVE."""
        follows = config.get("syncWithLatestSolutionVersion", False)
        solution_arn, _, tail = arn.rpartition("/")
        if tail == LATEST:
            if not follows:
                raise invalid_input(f"{LATEST} needs syncWithLatestSolutionVersion in campaignConfig.")
            self.plane.found("Solution", solution_arn)
            latest = self._versions.latest_ready(solution_arn)
            if latest is None:
                raise invalid_input(f"Solution {solution_arn} has no version that is ACTIVE.")
            return latest
        version = self.plane.ready("SolutionVersion", arn)
        if follows:
            raise invalid_input(f"syncWithLatestSolutionVersion needs solutionVersionArn to end in {LATEST}.")
        return version

    def _follow(self, version: Record) -> None:
        """Update the campaigns that follow the solution of a version that became ACTIVE."""
        for record in self.plane.store.of(self.noun, solutionArn=version["solutionArn"], status="ACTIVE"):
            follows = record["campaignConfig"].get("syncWithLatestSolutionVersion")
            if follows and not self.plane.transitions.is_going_on(record["_arn"]):
                self._begin_update(record, version, record["minProvisionedTPS"], record["campaignConfig"])

    @staticmethod
    def _take_update(record: Record, _: Record, __: dict[str, Any]) -> None:
        update = record[UPDATE]
        for name in ("solutionVersionArn", "minProvisionedTPS", "campaignConfig"):
            record[name] = update[name]
        record["status"] = "ACTIVE"
        record.pop("failureReason", None)


def _check_config(config: dict[str, Any], version: Record) -> None:
    recipe = recipe_of(version["recipeArn"])
    exploration = config.get("itemExplorationConfig", {})
    if exploration and recipe.recipe_type != USERS:
        raise invalid_input(f"itemExplorationConfig is not supported by {recipe.name}.")
    for name, value in exploration.items():
        least, most = _EXPLORATION.get(name, (1.0, 0.0))
        try:
            is_fit = least <= float(value) <= most
        except ValueError:
            is_fit = False
        if not is_fit:
            raise invalid_input(f"itemExplorationConfig {name} cannot be {value!r}.")
    if config.get("rankingInfluence") and recipe.recipe_type != RELATED:
        raise invalid_input(f"rankingInfluence is not supported by {recipe.name}.")
