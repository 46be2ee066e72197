"""Everything of a pipeline, deleted in the order that Personalize demands."""

from collections.abc import Sequence

from service.errors import PipelineError
from service.pipeline.data.limits import KINDS
from service.pipeline.ports import InUse, NotFound
from service.pipeline.train.account import Account, Resource
from service.pipeline.train.nouns import (
    CAMPAIGN,
    DATASET,
    EVENT_TRACKER,
    FILTER,
    GROUP,
    RECOMMENDER,
    SCHEMA,
    SOLUTION,
)
from service.pipeline.train.terms import PipelineTerms

MAX_BUSY_LOOKS = 180


def doomed(account: Account, terms: PipelineTerms) -> list[list[Resource]]:
    """What would be deleted, in stages: all of the dataset group, also what other tools made in it; our schemas."""
    group = account.find(GROUP, terms.name)
    stages: list[list[Resource]] = []
    if group is not None:
        by = {"datasetGroupArn": group.arn}
        solutions = account.all(SOLUTION, **by)
        campaigns = [one for solution in solutions for one in account.all(CAMPAIGN, solutionArn=solution.arn)]
        recommenders = account.all(RECOMMENDER, **by) if group.described.get("domain") else []
        stages = [
            [*campaigns, *recommenders],
            [*solutions, *account.all(FILTER, **by), *account.all(EVENT_TRACKER, **by)],
            account.all(DATASET, **by),
            [group],
        ]
    beginnings = tuple(f"{terms.name}-{kind}" for kind in KINDS)
    schemas = [
        account.describe(SCHEMA, summary["schemaArn"])
        for summary in account.listed(SCHEMA)
        if summary["name"].startswith(beginnings)
    ]
    return [stage for stage in (*stages, schemas) if stage]


def destroy(account: Account, stages: Sequence[Sequence[Resource]]) -> None:
    """Delete, stage by stage, and wait until all is gone.

    Raises:
        PipelineError: Something stays; a line for each. The same call goes on from there.
    """
    for stage in stages:
        refused = []
        for resource in stage:
            try:
                _delete(account, resource)
            except PipelineError as error:
                refused += [f"{resource.noun.word} {resource.name}: {problem}" for problem in error.problems]
        account.wait([(one.noun, one.arn) for one in stage if one.noun is not SCHEMA], until_gone=True)
        if refused:
            raise PipelineError(*refused)


def _delete(account: Account, resource: Resource) -> None:
    for _ in range(MAX_BUSY_LOOKS):
        try:
            account.plane.call(f"delete_{resource.noun.operation}", **{resource.noun.arn: resource.arn})
        except NotFound:
            return
        except InUse:
            if resource.status.startswith("DELETE"):
                return
            account.sleep(account.poll_seconds)
            continue
        account.display.say(f"{resource.noun.word} {resource.name}: deleted")
        return
    raise PipelineError("is still in use; run the same command again later")
