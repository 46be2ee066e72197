"""Whether there are credentials of AWS, and whose they are."""

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from service.aws.chain import MAX_LOOK_SECONDS
from service.aws.credentials import REFUSALS
from service.aws.identity import Identity, ask_identity, may_ask_sts, regions_of
from service.aws.session import AwsSession
from service.doctor.findings import Finding, error, ok, seconds_in_words, warning
from service.doctor.targets import Target
from service.errors import ConfigurationError
from service.personalize.sdk.advice import ADVICE_BY_CODE, NO_CREDENTIALS
from service.personalize.sdk.runtime import place_of


async def check_credentials(aws: AwsSession) -> list[Finding]:
    """One finding; an error if there is nothing to sign with."""
    try:
        aws.begin()
    except ConfigurationError as failure:
        return [error("credentials", problem) for problem in failure.problems]
    credentials = aws.credentials
    await credentials.first_look(MAX_LOOK_SECONDS + 2)
    found = credentials.found
    if found is None:
        return [error("credentials", credentials.problem, NO_CREDENTIALS)]
    whose = f"access key ...{found.access_key[-4:]} from {found.source}"
    left = credentials.seconds_left
    if left == 0:
        return [error("credentials", f"{whose} has ended", "renew the credentials at their source")]
    return [ok("credentials", whose if left == float("inf") else f"{whose}, good for {seconds_in_words(left)}")]


async def check_identity(aws: AwsSession, region: str | None) -> tuple[Identity, list[Finding]]:
    """Whom STS takes us for; no finding where it cannot be asked, which many networks do not allow."""
    if not may_ask_sts():
        return Identity(), []
    identity = await ask_identity(aws, region)
    if identity.account:
        return identity, [ok("credentials", f"AWS knows them as {identity.arn}")]
    if identity.code in REFUSALS:
        return identity, [
            error("credentials", f"AWS refuses them: {identity.problem}", ADVICE_BY_CODE.get(identity.code, ""))
        ]
    return identity, []


def check_regions(targets: Sequence[Target], identity: Identity) -> Iterator[Finding]:
    """What the ARNs themselves show to be wrong, beside the region of the environment and the credentials' account."""
    known = regions_of("personalize")
    regions = dict.fromkeys(target.region for target in targets)
    for region in regions:
        if region not in known:
            near = get_close_matches(region, known, n=1)
            advice = f"correct the ARNs; {near[0]} has it" if near else "correct the ARNs"
            yield warning("region", f"the SDK knows no Amazon Personalize in {region}", advice)
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if named and list(regions) != [named]:
        others = ", ".join(region for region in regions if region != named)
        yield warning(
            "region",
            f"AWS_REGION is {named}, and Personalize is asked in {others}, as the ARNs say",
            "fine if so meant; S3 and DynamoDB are asked in AWS_REGION",
        )
    for target in targets:
        yield from _check_arns(target, identity)


def _check_arns(target: Target, identity: Identity) -> Iterator[Finding]:
    for filter_arn in target.filter_arns:
        if place_of(filter_arn) != place_of(target.arn):
            what = f"the filter {filter_arn} is not of the region and account of {target.arn}"
            yield error(target.name, what, "name a filter of the same dataset group")
    if identity.account and target.account != identity.account:
        what = f"{target.arn} is of account {target.account}, and the credentials are of {identity.account}"
        yield warning(target.name, what, "correct the ARN, or assume a role of that account")
