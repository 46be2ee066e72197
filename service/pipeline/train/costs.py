"""What an apply takes, in time and money, before it is spent."""

from collections.abc import Iterator, Sequence
from typing import Final

from service.pipeline.train.apply import Step
from service.pipeline.train.nouns import CAMPAIGN, IMPORT_JOB, RECOMMENDER, VERSION
from service.pipeline.train.terms import PipelineTerms
from service.pipeline.train.wanted import Wanted

HOURS_A_MONTH: Final = 730


def minutes(steps: Sequence[Step], stages: Sequence[Sequence[Wanted]]) -> tuple[int, int]:
    """From and to: the longest of each stage, one after the other."""
    by_key = {step.wanted.key: step.minutes for step in steps}
    spans = [[by_key[one.key] for one in stage if one.key in by_key] for stage in stages]
    return (
        sum(max((span[0] for span in stage), default=0) for stage in spans),
        sum(max((span[1] for span in stage), default=0) for stage in spans),
    )


def cost_lines(
    terms: PipelineTerms, steps: Sequence[Step], megabytes: float, interactions: int | None
) -> Iterator[str]:
    """What it costs at the prices of the file; what cannot be known before is said to be an estimate."""
    prices = terms.prices
    if prices is None:
        yield "no [prices] in the file, so no cost is shown"
        return
    made = [step for step in steps if step.outcome == "make"]
    if any(step.wanted.noun is IMPORT_JOB for step in made):
        yield f"import      {megabytes / 1000 * prices.data_gb:10.2f}  {megabytes:,.0f} MB"
    for step in made:
        if step.wanted.noun is VERSION:
            solution = terms.solutions[step.wanted.key.removeprefix("version ")]
            if solution.recipe.endswith("-v2"):
                thousands = (interactions or 0) / 1000
                note = f"{interactions:,} interactions" if interactions is not None else "interactions not yet counted"
                yield f"training    {thousands * prices.training_1000_interactions:10.2f}  {step.wanted.title}, {note}"
            else:
                jobs = solution.hpo.jobs if solution.hpo else 1
                hours = step.wanted.noun.minutes[1] / 60 * jobs
                yield f"training    {hours * prices.training_hour:10.2f}  {step.wanted.title}, about {hours:.0f} h"
    asking = [*terms.campaigns.values(), *terms.recommenders.values()]
    tps = sum(one.min_tps for one in asking)
    kept = [one for one in steps if one.wanted.noun in {CAMPAIGN, RECOMMENDER} and one.outcome == "keep"]
    if asking:
        month = tps * HOURS_A_MONTH * prices.tps_hour
        yield f"each month  {month:10.2f}  {tps} TPS at the minimum, {len(kept)} of {len(asking)} running already"
