"""Training: from the rows of a dataset group to a model, its metrics and its hyperparameters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.local_personalize.control.avro import parse_schema
from service.local_personalize.control.recipes import ARN, RECIPES, Recipe
from service.local_personalize.training.log import Log, make_log
from service.local_personalize.training.metrics import CHOSEN_BY
from service.local_personalize.training.model import save_model
from service.local_personalize.training.rows import Row, read_interactions, read_items
from service.local_personalize.training.search import DEFAULT_JOBS, Range, ranges_of, search
from service.local_personalize.training.split import Split, split
from service.local_personalize.training.trainer import Wanted, choose, fit, judge_model
from service.local_personalize.work.failure import JobFailed

MIN_INTERACTIONS: Final = 1000
MIN_USERS: Final = 25
MIN_USER_SHARE: Final = 0.01
"""Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""

_FAMILIES: Final = {
    "aws-similar-items": "similar-items",
    "aws-sims": "sims",
    "aws-semantic-similarity": "semantic",
    "aws-popularity-count": "popular",
    "aws-trending-now": "trending",
    "aws-vod-trending-now": "trending",
    "aws-ecomm-frequently-bought-together": "similar-items",
}
_BY_TYPE: Final = {"RELATED_ITEMS": "similar-items", "POPULAR_ITEMS": "popular"}

_EVENT_TYPES: Final = {
    "aws-ecomm-popular-items-by-views": "view",
    "aws-ecomm-popular-items-by-purchases": "purchase",
    "aws-ecomm-frequently-bought-together": "purchase",
    "aws-ecomm-customers-who-viewed-x-also-viewed": "view",
    "aws-vod-most-popular": "watch",
    "aws-vod-because-you-watched-x": "watch",
}
"""Use cases that learn from one type of event."""


def train(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The directory of the model, its metrics, and the hyperparameters that HPO chose.

    Raises:
        JobFailed: There is not enough to learn from.
    """
    recipe = RECIPES[ARN + job["recipe"]]
    items = read_items(job)
    events = _events(job, recipe)
    rows = [row for row in read_interactions(job) if _counts(row, job, events)]
    family = _FAMILIES.get(recipe.name) or _BY_TYPE.get(recipe.recipe_type, "users")
    if family == "semantic":
        _check_texts(job)
    else:
        _check_enough(rows, recipe)
    log = _kept(
        make_log(((r.user_id, r.item_id, r.timestamp, _weight(r, events)) for r in rows), items),
        job["config"].get("featureTransformationParameters", {}),
    )
    taste_columns, text_column = _columns(job)
    wanted = Wanted(
        family=family,
        hyperparameters=job["config"].get("algorithmHyperParameters", {}),
        items=items,
        taste_columns=taste_columns,
        text_column=text_column,
        events=events,
    )
    parts = split(log)
    tuned = _tuned(job, recipe, wanted, parts) if job["performHPO"] else {}
    wanted = replace(wanted, hyperparameters={**wanted.hyperparameters, **tuned})
    choice = choose(wanted, parts)
    metrics = judge_model(fit(wanted, parts.training, choice), family, parts.judging)
    # What is deployed learns from everybody; the figures are those of its twin that did not see the judging users.
    model = fit(wanted, log, choice)
    kept = directory / "model"
    kept.mkdir(exist_ok=True)
    save_model(model, kept, {"recipe": recipe.name, "trainedAt": job["now"]})
    return {"model": str(kept), "metrics": metrics, "tuned": tuned}


def _events(job: dict[str, Any], recipe: Recipe) -> dict[str, float]:
    """What each event type weighs, in lower case; empty where all weigh the same."""
    given = job["config"].get("eventsConfig", {}).get("eventParametersList", [])
    if given:
        return {one["eventType"].lower(): float(one.get("weight", 1.0)) for one in given}
    only = job.get("eventType") or _EVENT_TYPES.get(recipe.name)
    return {only.lower(): 1.0} if only else {}


def _counts(row: Row, job: dict[str, Any], events: Mapping[str, float]) -> bool:
    if events and row.event_type.lower() not in events:
        return False
    least = job["config"].get("eventValueThreshold")
    for one in job["config"].get("eventsConfig", {}).get("eventParametersList", []):
        if one["eventType"].lower() == row.event_type.lower():
            least = one.get("eventValueThreshold", least)
    return least in (None, "") or (row.event_value is not None and row.event_value >= float(least))


def _weight(row: Row, events: Mapping[str, float]) -> float:
    return events.get(row.event_type.lower(), 1.0) if events else 1.0


def _check_enough(rows: list[Row], recipe: Recipe) -> None:
    unique = len({(row.user_id, row.item_id, row.timestamp, row.event_type) for row in rows})
    if unique < MIN_INTERACTIONS:
        raise JobFailed(
            f"Dataset has fewer than {MIN_INTERACTIONS} interactions after filtering by event type: {unique} are left "
            f"for {recipe.name}."
        )
    counts = Counter(row.user_id for row in rows)
    several = sum(count > 1 for count in counts.values())
    if several < max(MIN_USERS, MIN_USER_SHARE * len(counts)):
        raise JobFailed(f"Dataset has fewer than {MIN_USERS} users with at least 2 interactions each: {several}.")


def _check_texts(job: dict[str, Any]) -> None:
    if not _columns(job)[1]:
        raise JobFailed("aws-semantic-similarity needs an Items dataset whose schema has a textual field.")


def _columns(job: dict[str, Any]) -> tuple[list[str], str]:
    """Columns of items that there may be a taste for, and the one that holds text."""
    schema = job["datasets"].get("ITEMS", {}).get("schema")
    if not schema:
        return [], ""
    columns = parse_schema(schema)
    excluded = set(job["config"].get("trainingDataConfig", {}).get("excludedDatasetColumns", {}).get("ITEMS", []))
    tastes = [one.name for one in columns if one.is_categorical and one.name not in excluded]
    return tastes, next((one.name for one in columns if one.is_textual), "")


def _kept(log: Log, features: Mapping[str, str]) -> Log:
    """The log without users and items that are outside the percentiles of the feature transformation."""
    keep = np.ones(len(log), dtype=bool)
    for numbers, lengths, name in (
        (log.user, np.bincount(log.user, minlength=1), "user_history_length"),
        (log.item, np.bincount(log.item, minlength=1), "item_interaction_count"),
    ):
        present = lengths[lengths > 0]
        for end, is_kept in (("min", np.greater_equal), ("max", np.less_equal)):
            share = features.get(f"{end}_{name}_percentile")
            if share is not None and len(present):
                keep &= is_kept(lengths[numbers], np.quantile(present, float(share)))
    return log if keep.all() else log.rows(keep)


def _tuned(job: dict[str, Any], recipe: Recipe, wanted: Wanted, parts: Split) -> dict[str, str]:
    hpo = job["config"].get("hpoConfig", {})
    given = hpo.get("algorithmHyperParameterRanges")
    ranges = ranges_of(given) if given else _default_ranges(recipe)
    jobs = int(hpo.get("hpoResourceConfig", {}).get("maxNumberOfTrainingJobs", DEFAULT_JOBS))

    def worth(hyperparameters: Mapping[str, str]) -> float:
        tried = replace(wanted, hyperparameters=hyperparameters)
        model = fit(tried, parts.training, choose(tried, parts))
        return judge_model(model, wanted.family, parts.choosing)[CHOSEN_BY]

    defaults = {name: tunable.default for name, tunable in recipe.tunables.items()}
    return search(ranges, {**defaults, **wanted.hyperparameters}, jobs=jobs, worth=worth)


def _default_ranges(recipe: Recipe) -> list[Range]:
    return [
        Range(name, one.least or 0.0, one.most or 0.0, is_whole=one.is_whole, choices=one.choices)
        for name, one in recipe.tunables.items()
        if one.is_tuned
    ]
