"""Which version a campaign serves: a better one is promoted, a worse one refused, the one before brought back."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import PipelineError
from service.pipeline.train.account import Account, Resource
from service.pipeline.train.nouns import CAMPAIGN
from service.pipeline.train.terms import PipelineTerms
from service.pipeline.train.versions import DECIDING, Version, baseline_of, campaign_of, versions_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """From which version to which a campaign was brought."""

    campaign: Resource
    before: str
    after: Version
    is_changed: bool


def promote(account: Account, terms: PipelineTerms, key: str, *, wanted: str = "", is_forced: bool = False) -> Switch:
    """Let a campaign serve a version, by default the newest, and wait for it.

    Raises:
        PipelineError: There is no such version; or it is worse than the one that is served, or than the popularity
            baseline, and nobody forced it; or the update failed, so that the old version goes on.
    """
    campaign, all_versions = campaign_of(account, terms, key), versions_of(account, terms)
    own, serving = _own(campaign, all_versions)
    candidates = [one for one in own if wanted in {one.name, one.resource.arn}] if wanted else own
    if not candidates:
        raise PipelineError(
            f"campaign {key}: there is no version {wanted or 'that is ready'};"
            f" there are: {', '.join(one.name for one in own) or 'none'}"
        )
    candidate = candidates[-1]
    if not is_forced and candidate is not serving:
        for other, what in ((serving, "the one that is served"), (baseline_of(terms, all_versions), "popularity")):
            if other is not None and (candidate.score or 0) < (other.score or 0):
                raise PipelineError(
                    f"campaign {key}: version {candidate.name} is worse than {what}: {DECIDING}"
                    f" {candidate.score or 0:.4f} against {other.score or 0:.4f}; --force promotes it anyway"
                )
    return _switch(account, campaign, candidate)


def rollback(account: Account, terms: PipelineTerms, key: str) -> Switch:
    """Let a campaign serve the version that was made before the one that it serves, and wait for it.

    Raises:
        PipelineError: There is none, or the update failed.
    """
    campaign = campaign_of(account, terms, key)
    own, serving = _own(campaign, versions_of(account, terms))
    older = [one for one in own if serving is not None and one.made < serving.made]
    if not older:
        raise PipelineError(f"campaign {key}: there is no version before the one that is served")
    return _switch(account, campaign, older[-1])


def _own(campaign: Resource, versions: Sequence[Version]) -> tuple[list[Version], Version | None]:
    """The versions that the campaign can serve, the oldest first, and the one that it does."""
    arn = str(campaign.described["solutionVersionArn"])
    own = [one for one in versions if one.solution_arn == arn.rpartition("/")[0]]
    return own, next((one for one in own if one.resource.arn == arn), None)


def _switch(account: Account, campaign: Resource, version: Version) -> Switch:
    before = str(campaign.described["solutionVersionArn"])
    account.wait([(CAMPAIGN, campaign.arn)] if campaign.is_pending else [])
    is_changed = before != version.resource.arn
    if is_changed:
        account.plane.call(
            "update_campaign", campaignArn=campaign.arn, solutionVersionArn=version.resource.arn,
            minProvisionedTPS=campaign.described["minProvisionedTPS"],
        )  # fmt: skip
        account.wait([(CAMPAIGN, campaign.arn)])
    return Switch(campaign=campaign, before=before, after=version, is_changed=is_changed)
