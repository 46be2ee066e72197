"""`placements.toml`: what was made, as `PLACEMENTS_FILE` wants it."""

import json
from collections.abc import Iterator, Mapping

from service.pipeline.train.recipes import NEED_USER, RECIPES, USE_CASES
from service.pipeline.train.terms import AskingTerms, PipelineTerms


def placements_toml(terms: PipelineTerms, arns: Mapping[str, str], tracking_id: str) -> str:
    """The file.

    Args:
        terms: What was wanted.
        arns: Of what was made, by key.
        tracking_id: Of the event tracker; empty without one.
    """
    return "\n".join(_lines(terms, arns, tracking_id)) + "\n"


def _lines(terms: PipelineTerms, arns: Mapping[str, str], tracking_id: str) -> Iterator[str]:
    yield f"# Written by `personalize-connect train apply` for {terms.name}; it is written anew each time."
    if tracking_id:
        yield f"# PERSONALIZE_TRACKING_ID={tracking_id}"
    for name, campaign in terms.campaigns.items():
        recipe = RECIPES[terms.solutions[campaign.solution].recipe.removeprefix("aws-")]
        yield from _placement(name, campaign, recipe.kind, f"campaign_arn = {_text(arns[f'campaign {name}'])}", arns)
    for name, recommender in terms.recommenders.items():
        kind = USE_CASES[recommender.use_case][1]
        arn = f"recommender_arn = {_text(arns[f'recommender {name}'])}"
        yield from _placement(name, recommender, kind, arn, arns)
        if recommender.use_case in NEED_USER:
            yield "needs_user = true"


def _placement(name: str, one: AskingTerms, kind: str, arn: str, arns: Mapping[str, str]) -> Iterator[str]:
    yield ""
    yield f"[placements.{one.placement or name.lower()}]"
    if kind != "recommendations":
        yield f"kind = {_text(kind)}"
    yield arn
    yield f"tps = {one.min_tps}"
    if one.filter is not None:
        yield f"filter_arn = {_text(arns[f'filter {one.filter}'])}"


def _text(value: str) -> str:
    return json.dumps(value)
