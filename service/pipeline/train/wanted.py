"""The resources that `personalize.toml` wants, in the order in which they are made.

Names decide everything. What cannot be changed later is part of the name, as a hash: the settings of a solution, the
expression of a filter, the files of an import, the data of a version. So a change makes a new resource beside the old
one, and a resource that is there is the right one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.pipeline.data.limits import DatasetKind
from service.pipeline.train.account import Resource
from service.pipeline.train.asking_config import asking_config, holds
from service.pipeline.train.names import TAG_PREFIX, campaign_name, filter_name, hash_of, schema_name, solution_name
from service.pipeline.train.nouns import (
    CAMPAIGN,
    DATASET,
    EVENT_TRACKER,
    FILTER,
    GROUP,
    IMPORT_JOB,
    RECOMMENDER,
    SCHEMA,
    SOLUTION,
    VERSION,
    Noun,
)
from service.pipeline.train.solution_config import solution_fields
from service.pipeline.train.terms import CampaignTerms, PipelineTerms, RecommenderTerms, SolutionTerms

Arns = Mapping[str, str]
"""ARNs by the key of what is wanted."""


def _no_parent(_: Arns) -> dict[str, str]:
    return {}


def _no_change(_: Resource, __: Arns) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A resource that is to be there."""

    key: str
    noun: Noun
    name: str

    fields: Callable[[Arns], dict[str, Any]]
    """For its creation, without the name."""

    by: Callable[[Arns], dict[str, str]] = _no_parent
    """What the list operation is asked with."""

    needs: tuple[str, ...] = ()
    """Keys of what must be there before."""

    changes: Callable[[Resource, Arns], dict[str, Any]] = _no_change
    """Fields of the update that brings an existing one in line; empty: it is in line."""

    takes_any: bool = False
    """There can be one only, whatever its name."""

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.noun.word} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataWanted:
    """The data of one dataset."""

    kind: DatasetKind
    fingerprint: str
    """Changes with the content."""

    schema: Callable[[], str]
    """The Avro schema; may have to read the data."""

    schema_hash: str
    """Of the operator's own schema; empty where it is inferred: the first one stays."""

    location: Callable[[], str]
    """Where Personalize reads it; may have to convert and upload it."""

    facts: Callable[[], Mapping[str, str]]
    """What is said of it in tags, so that versions can be compared later."""


def stages_of(
    terms: PipelineTerms, data: Mapping[DatasetKind, DataWanted], *, retraining: str = ""
) -> list[list[Wanted]]:
    """What is wanted. What stands in one stage is made at once, and waited for before the next.

    Args:
        terms: The file.
        data: Its datasets.
        retraining: Part of the versions' names, to train on the same files again: events that came in meanwhile are
            not in any file. Empty: a version of these files is enough.
    """
    group = Wanted(
        key="group", noun=GROUP, name=terms.name, fields=lambda _: {"domain": terms.domain} if terms.domain else {}
    )
    tracker = Wanted(
        key="tracker", noun=EVENT_TRACKER, name=terms.name, fields=_of_group, by=_of_group, needs=("group",),
        takes_any=True,
    )  # fmt: skip
    datasets = [_dataset(terms, one) for one in data.values()]
    versions_data = hash_of({kind: one.fingerprint for kind, one in data.items()})
    solutions = [_solution(terms, name, one) for name, one in terms.solutions.items()]
    return [
        [group, *(_schema(terms, one) for one in data.values())],
        [*datasets, *([tracker] if terms.event_tracker else [])],
        [_import(terms, one) for one in data.values()],
        [*(_filter(terms, name, text) for name, text in terms.filters.items()), *solutions],
        [_version(terms, name, "-".join(filter(None, (versions_data, retraining)))) for name in terms.solutions],
        [
            *(_campaign(terms, name, one) for name, one in terms.campaigns.items()),
            *(_recommender(terms, name, one) for name, one in terms.recommenders.items()),
        ],
    ]


def _of_group(arns: Arns) -> dict[str, str]:
    return {"datasetGroupArn": arns["group"]}


def _schema(terms: PipelineTerms, data: DataWanted) -> Wanted:
    return Wanted(
        key=f"schema {data.kind}",
        noun=SCHEMA,
        name=schema_name(terms, data.kind, data.schema_hash),
        fields=lambda _: {"schema": data.schema(), **({"domain": terms.domain} if terms.domain else {})},
    )


def _dataset(terms: PipelineTerms, data: DataWanted) -> Wanted:
    def changes(found: Resource, arns: Arns) -> dict[str, Any]:
        # An inferred schema stays as the first data suggested it, or each import could change it.
        schema = arns[f"schema {data.kind}"]
        return {"schemaArn": schema} if data.schema_hash and found.described["schemaArn"] != schema else {}

    return Wanted(
        key=f"dataset {data.kind}",
        noun=DATASET,
        name=f"{terms.name}-{data.kind}",
        fields=lambda arns: {
            **_of_group(arns),
            "schemaArn": arns[f"schema {data.kind}"],
            "datasetType": data.kind.capitalize(),
        },
        by=_of_group,
        needs=("group", f"schema {data.kind}"),
        changes=changes,
    )


def _import(terms: PipelineTerms, data: DataWanted) -> Wanted:
    key = f"dataset {data.kind}"
    return Wanted(
        key=f"import {data.kind}",
        noun=IMPORT_JOB,
        name=f"{terms.name}-{data.kind}-{data.fingerprint}",
        fields=lambda arns: {
            "datasetArn": arns[key],
            "dataSource": {"dataLocation": data.location()},
            "roleArn": terms.role_arn,
            "importMode": "FULL",
            "tags": [{"tagKey": f"{TAG_PREFIX}{name}", "tagValue": value} for name, value in data.facts().items()],
        },
        by=lambda arns: {"datasetArn": arns[key]},
        needs=(key,),
    )


def _filter(terms: PipelineTerms, name: str, text: str) -> Wanted:
    return Wanted(
        key=f"filter {name}",
        noun=FILTER,
        name=filter_name(terms, name),
        fields=lambda arns: {**_of_group(arns), "filterExpression": text},
        by=_of_group,
        needs=("group",),
    )


def _solution(terms: PipelineTerms, name: str, solution: SolutionTerms) -> Wanted:
    days = solution.automatic_training_days
    rate = {"schedulingExpression": f"rate({days} days)"}

    def fields(arns: Arns) -> dict[str, Any]:
        fixed = solution_fields(solution)
        config = {**fixed.get("solutionConfig", {}), **({"autoTrainingConfig": rate} if days else {})}
        # Left out, Personalize trains every seven days, and bills it.
        return {
            **_of_group(arns),
            **fixed,
            "performAutoTraining": days is not None,
            **({"solutionConfig": config} if config else {}),
        }

    def changes(found: Resource, _: Arns) -> dict[str, Any]:
        is_on = bool(found.described.get("performAutoTraining"))
        config = found.described.get("solutionConfig") or {}
        if is_on == (days is not None) and (not days or config.get("autoTrainingConfig") == rate):
            return {}
        update = {"solutionUpdateConfig": {"autoTrainingConfig": rate}} if days else {}
        return {"performAutoTraining": days is not None, **update}

    return Wanted(
        key=f"solution {name}",
        noun=SOLUTION,
        name=solution_name(terms, name),
        fields=fields,
        by=_of_group,
        needs=("group",),
        changes=changes,
    )


def _version(terms: PipelineTerms, name: str, data_hash: str) -> Wanted:
    key = f"solution {name}"
    needs = ("group", key, *(f"import {kind}" for kind in terms.kinds))
    return Wanted(
        key=f"version {name}",
        noun=VERSION,
        name=f"{name}-{data_hash}",
        fields=lambda arns: {"solutionArn": arns[key]},
        by=lambda arns: {"solutionArn": arns[key]},
        needs=needs,
    )


def _campaign(terms: PipelineTerms, name: str, campaign: CampaignTerms) -> Wanted:
    config = asking_config(campaign)
    if campaign.ranking_influence is not None:
        influence = campaign.ranking_influence
        config["rankingInfluence"] = {"POPULARITY": influence.popularity, "FRESHNESS": influence.freshness}
    solution = f"solution {campaign.solution}"
    version = f"version {campaign.solution}"

    def changes(found: Resource, _: Arns) -> dict[str, Any]:
        wrong: dict[str, Any] = {}
        if found.described["minProvisionedTPS"] != campaign.min_tps:
            wrong["minProvisionedTPS"] = campaign.min_tps
        if not holds(found.described.get("campaignConfig") or {}, config):
            wrong["campaignConfig"] = config
        return wrong

    return Wanted(
        key=f"campaign {name}",
        noun=CAMPAIGN,
        name=campaign_name(terms, name),
        fields=lambda arns: {
            "solutionVersionArn": arns[version],
            "minProvisionedTPS": campaign.min_tps,
            **({"campaignConfig": config} if config else {}),
        },
        by=lambda arns: {"solutionArn": arns[solution]},
        needs=(solution, version),
        changes=changes,
    )


def _recommender(terms: PipelineTerms, name: str, recommender: RecommenderTerms) -> Wanted:
    config = {**asking_config(recommender), "minRecommendationRequestsPerSecond": recommender.min_tps}

    def changes(found: Resource, _: Arns) -> dict[str, Any]:
        return {} if holds(found.described.get("recommenderConfig") or {}, config) else {"recommenderConfig": config}

    return Wanted(
        key=f"recommender {name}",
        noun=RECOMMENDER,
        name=f"{terms.name}-{name}-{hash_of(recommender.use_case)}",
        fields=lambda arns: {
            **_of_group(arns),
            "recipeArn": f"arn:aws:personalize:::recipe/{recommender.use_case}",
            "recommenderConfig": config,
        },
        by=_of_group,
        needs=("group", *(f"import {kind}" for kind in terms.kinds)),
        changes=changes,
    )
