"""A batch job: ids in, lists out, found by name like everything else."""

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from service.errors import PipelineError
from service.pipeline.ports import Storage
from service.pipeline.train.account import Account, Resource
from service.pipeline.train.apply import apply
from service.pipeline.train.names import filter_name, solution_name
from service.pipeline.train.nouns import BATCH_JOB, CAMPAIGN, FILTER, SOLUTION, VERSION
from service.pipeline.train.terms import PipelineTerms
from service.pipeline.train.versions import group_of
from service.pipeline.train.wanted import Wanted

IdKey = Literal["userId", "itemId"]


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """Where a job wrote its lists."""

    job: str
    url: str
    version: str


def run_batch(
    account: Account,
    terms: PipelineTerms,
    name: str,
    ids: Iterable[str],
    *,
    key: IdKey,
    storage: Storage,
    today: dt.date,
) -> BatchOutput:
    """Have a batch job make a list for each id, and wait for it.

    The same ids, version and day make the same job. So a run that was killed goes on with the job that it began.

    Args:
        account: Where.
        terms: Say what job, and of which solution.
        name: Of the table in `[batch]`.
        ids: Of users, or of items.
        key: Which of them.
        storage: Where the input is put.
        today: Part of the job's name: tomorrow the same ids make another job.

    Raises:
        PipelineError: It cannot be made, or it failed; with the reason.
    """
    batch = terms.batch[name]
    if terms.upload is None:
        raise PipelineError("upload: is missing, and the input has to be put somewhere")
    if terms.role_arn is None:
        raise PipelineError("role_arn: is missing; Personalize reads the input and writes the lists with it")
    version = _version(account, terms, batch.solution)
    config: dict[str, Any] = {"solutionVersionArn": version.arn, "numResults": batch.results}
    if batch.filter is not None:
        config["filterArn"] = _filter(account, terms, batch.filter)
    with TemporaryDirectory(prefix="personalize-batch-") as folder:
        path = Path(folder, "input.json")
        content = _write(path, ids, key)
        source = f"{terms.upload}{terms.name}/batch/{content}.json"
        if not storage.has(source):
            storage.put(path, source)
    job = f"{terms.name}-{name}-{today:%Y%m%d}-{sha256(json.dumps([content, config]).encode()).hexdigest()[:6]}"
    output = f"{batch.output}{job}/"
    wanted = Wanted(
        key=f"batch {name}",
        noun=BATCH_JOB,
        name=job,
        fields=lambda _: {
            **config,
            "jobInput": {"s3DataSource": {"path": source}},
            "jobOutput": {"s3DataDestination": {"path": output}},
            "roleArn": terms.role_arn,
        },
        by=lambda _: {"solutionVersionArn": version.arn},
    )
    apply(account, [[wanted]], check_data=lambda: None)
    return BatchOutput(job, output, version.name)


def _write(path: Path, ids: Iterable[str], key: IdKey) -> str:
    """Write the input, and give what names its content.

    Raises:
        PipelineError: There is not one id.
    """
    whole = sha256()
    with path.open("wb") as stream:
        for one in ids:
            line = f"{json.dumps({key: one})}\n".encode()
            whole.update(line)
            stream.write(line)
        if not stream.tell():
            raise PipelineError("the file names nobody")
    return whole.hexdigest()[:10]


def _version(account: Account, terms: PipelineTerms, key: str) -> Resource:
    """The version that a campaign of the solution serves, else the newest: mails and site are to agree."""
    group = group_of(account, terms)
    solution = account.find(SOLUTION, solution_name(terms, key), datasetGroupArn=group.arn)
    if solution is None:
        raise PipelineError(f"solution {key} is not made yet; `train apply` makes it")
    ready = [one for one in account.all(VERSION, solutionArn=solution.arn) if one.status == "ACTIVE"]
    if not ready:
        raise PipelineError(f"solution {key} has no version that is ready; `train apply` makes one")
    served = {str(one.described["solutionVersionArn"]) for one in account.all(CAMPAIGN, solutionArn=solution.arn)}
    newest = sorted(ready, key=lambda one: one.described["creationDateTime"])
    return ([one for one in newest if one.arn in served] or newest)[-1]


def _filter(account: Account, terms: PipelineTerms, key: str) -> str:
    found = account.find(FILTER, filter_name(terms, key), datasetGroupArn=group_of(account, terms).arn)
    if found is None:
        raise PipelineError(f"filter {key} is not made yet; `train apply` makes it")
    return found.arn
