"""The versions of a solution: their metrics side by side, what they learnt from, and which one a campaign serves."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.errors import PipelineError
from service.pipeline.ports import NotFound
from service.pipeline.train.account import Account, Resource
from service.pipeline.train.names import HASH_CHARACTERS, TAG_PREFIX, campaign_name
from service.pipeline.train.nouns import CAMPAIGN, DATASET, GROUP, IMPORT_JOB, RECOMMENDER, SOLUTION, VERSION
from service.pipeline.train.recipes import BASELINE, RECIPES
from service.pipeline.train.terms import PipelineTerms

DECIDING: Final = "normalized_discounted_cumulative_gain_at_10"
"""The metric that says which version is better: it counts how far up the right items are."""

FALLBACK: Final = "precision_at_10"
"""Where a recipe has no `DECIDING`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version that is ready, with what can be said of it."""

    solution: str
    """Its key in `personalize.toml`."""

    resource: Resource
    metrics: Mapping[str, float]

    data: Mapping[str, Mapping[str, str]]
    """Tags of the imports that it learnt from, by kind of dataset."""

    @property
    def name(self) -> str:
        """Its name, else the end of its ARN."""
        return self.resource.name or self.resource.arn.rpartition("/")[2]

    @property
    def made(self) -> Any:  # noqa: ANN401  # a datetime, as the SDK has it
        """When it was begun."""
        return self.resource.described.get("creationDateTime")

    @property
    def score(self) -> float | None:
        """The metric that decides; None without one."""
        return self.metrics.get(DECIDING, self.metrics.get(FALLBACK))

    @property
    def solution_arn(self) -> str:
        """Of its solution in Personalize."""
        return str(self.resource.described["solutionArn"])


def group_of(account: Account, terms: PipelineTerms) -> Resource:
    """The dataset group.

    Raises:
        PipelineError: There is none.
    """
    group = account.find(GROUP, terms.name)
    if group is None:
        raise PipelineError(f"there is no dataset group {terms.name}; `train apply` makes it")
    return group


def versions_of(account: Account, terms: PipelineTerms) -> list[Version]:
    """All versions that are ready, by solution and then by age; also those of settings that are gone from the file."""
    group = group_of(account, terms)
    imports = _imports(account, group.arn)
    found = []
    for solution in account.all(SOLUTION, datasetGroupArn=group.arn):
        key = next((name for name in terms.solutions if _is_of(solution.name, f"{terms.name}-{name}")), None)
        if key is None:
            continue
        for version in account.all(VERSION, solutionArn=solution.arn):
            if version.status == "ACTIVE":
                metrics = account.plane.call("get_solution_metrics", solutionVersionArn=version.arn)["metrics"]
                found.append(
                    Version(solution=key, resource=version, metrics=metrics, data=_data_before(imports, version))
                )
    order = list(terms.solutions)
    return sorted(found, key=lambda one: (order.index(one.solution), one.made))


def _is_of(name: str, beginning: str) -> bool:
    return re.fullmatch(rf"{re.escape(beginning)}-[0-9a-f]{{{HASH_CHARACTERS}}}", name) is not None


def _imports(account: Account, group_arn: str) -> dict[str, list[tuple[Resource, dict[str, str]]]]:
    """The imports of each kind of dataset, the oldest first, with their tags."""
    found: dict[str, list[tuple[Resource, dict[str, str]]]] = {}
    for dataset in account.all(DATASET, datasetGroupArn=group_arn):
        kind = str(dataset.described["datasetType"]).lower()
        jobs = [one for one in account.all(IMPORT_JOB, datasetArn=dataset.arn) if one.status == "ACTIVE"]
        jobs.sort(key=lambda one: one.described["creationDateTime"])
        found[kind] = [(job, _tags(account, job.arn)) for job in jobs]
    return found


def _tags(account: Account, arn: str) -> dict[str, str]:
    try:
        tags = account.plane.call("list_tags_for_resource", resourceArn=arn)["tags"]
    except NotFound:
        return {}
    return {
        tag["tagKey"].removeprefix(TAG_PREFIX): tag["tagValue"] for tag in tags if tag["tagKey"].startswith(TAG_PREFIX)
    }


def _data_before(
    imports: Mapping[str, list[tuple[Resource, dict[str, str]]]], version: Resource
) -> dict[str, dict[str, str]]:
    before = {
        kind: [tags for job, tags in jobs if job.described["creationDateTime"] <= version.described["creationDateTime"]]
        for kind, jobs in imports.items()
    }
    return {kind: tags[-1] for kind, tags in before.items() if tags}


def baseline_of(terms: PipelineTerms, versions: list[Version]) -> Version | None:
    """The newest version of a solution that only counts popularity."""
    names = [
        name
        for name, one in terms.solutions.items()
        if RECIPES[one.recipe.removeprefix("aws-")].name.endswith(BASELINE)
    ]
    found = [version for version in versions if version.solution in names]
    return max(found, key=lambda one: one.made, default=None)


def campaign_of(account: Account, terms: PipelineTerms, key: str) -> Resource:
    """A campaign of the file.

    Raises:
        PipelineError: There is none.
    """
    if key not in terms.campaigns:
        raise PipelineError(f"there is no [campaigns.{key}]; there are: {', '.join(terms.campaigns) or 'none'}")
    for summary in account.listed(CAMPAIGN):
        if summary["name"] == campaign_name(terms, key):
            return account.describe(CAMPAIGN, summary["campaignArn"])
    raise PipelineError(f"campaign {key} is not made yet; `train apply` makes it")


def recommender_metrics(account: Account, terms: PipelineTerms) -> dict[str, dict[str, float]]:
    """The metrics of each recommender by its name; Personalize trains them itself, so there is one version of each."""
    if not terms.recommenders:
        return {}
    group = group_of(account, terms)
    return {
        one.name: dict(one.described.get("modelMetrics") or {})
        for one in account.all(RECOMMENDER, datasetGroupArn=group.arn)
    }


def changes_between(before: Version, after: Version) -> list[str]:
    """What is different in the data of two versions, in words."""
    said = []
    for kind in sorted({*before.data, *after.data}):
        old, new = before.data.get(kind, {}), after.data.get(kind, {})
        said += [
            f"{kind}: {name} {_shown(name, old.get(name))} -> {_shown(name, new.get(name))}"
            for name in sorted({*old, *new} - {"content"})
            if old.get(name) != new.get(name)
        ]
        if not said and old.get("content") != new.get("content"):
            said.append(f"{kind}: other content")
    return said


def _shown(name: str, text: str | None) -> str:
    if text is None or not text.isdecimal():
        return text or "unknown"
    return f"{dt.datetime.fromtimestamp(int(text), dt.UTC):%Y-%m-%d %H:%M}" if name == "newest" else f"{int(text):,}"
