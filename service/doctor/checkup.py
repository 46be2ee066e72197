"""All checks, in the order in which one needs what the one before has found."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from service.aws.session import AwsSession
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.doctor.asking import open_asking
from service.doctor.catalog import check_catalog
from service.doctor.clocks import ClockComparison
from service.doctor.credentials import check_credentials, check_identity, check_regions
from service.doctor.environment import check_settings, check_variables
from service.doctor.findings import Finding, is_fine, ok, warning
from service.doctor.machine import check_data_dir, check_open_files
from service.doctor.personalize import PersonalizeCheck
from service.doctor.targets import targets_of
from service.settings import Settings

DEFAULT_TRANSACTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator wants to know."""

    users: Sequence[str] = ()
    """Whose lists are asked for; empty: a made-up user's."""

    max_transactions: int = DEFAULT_TRANSACTIONS
    """For each ARN; 0 asks nothing."""


async def checkup(wishes: Wishes, clock: Clock) -> AsyncIterator[Finding]:
    """Every finding, as soon as it is there."""
    settings, findings = check_settings()
    for finding in findings:
        yield finding
    for finding in check_variables():
        yield finding
    for finding in check_open_files():
        yield finding
    if settings is None:
        yield warning("settings", "nothing further is looked at before they can be read")
        return
    for finding in check_data_dir(settings.data_dir, embedded=not settings.redis_url):
        yield finding
    async with AsyncExitStack() as stack:
        async for finding in _outside(settings, wishes, clock, stack):
            yield finding


async def _outside(settings: Settings, wishes: Wishes, clock: Clock, stack: AsyncExitStack) -> AsyncIterator[Finding]:
    clocks = ClockComparison(clock.time)
    targets = targets_of(settings.placements)
    region = targets[0].region
    aws = await stack.enter_async_context(AwsSession(region_hint=region, clock=clock))
    aws.on_answer = clocks.saw_answer
    signed = await check_credentials(aws)
    for finding in signed:
        yield finding
    may_ask = is_fine(signed)
    if may_ask:
        identity, findings = await check_identity(aws, region)
        for finding in [*findings, *check_regions(targets, identity)]:
            yield finding
    catalog, findings = await check_catalog(settings, aws, stack)
    for finding in findings:
        yield finding
    redis_works = bool(settings.redis_url)
    if may_ask and wishes.max_transactions:
        async for finding in _asking(settings, wishes, clock, aws, catalog, redis_works=redis_works):
            yield finding
    elif may_ask:
        yield warning("Personalize", "is not asked, as wished", "--transactions 3 asks")
    for finding in clocks.findings():
        yield finding


async def _asking(
    settings: Settings, wishes: Wishes, clock: Clock, aws: AwsSession, catalog: ItemCatalog | None, *, redis_works: bool
) -> AsyncIterator[Finding]:
    targets = targets_of(settings.placements)
    most = wishes.max_transactions * len(targets)
    whose = "of the budget that the replicas share" if settings.redis_url else "at PERSONALIZE_TPS"
    yield ok("Personalize", f"is asked now: at most {most} transactions, in slots {whose}")
    async with open_asking(settings, aws, clock, targets, redis_works=redis_works) as asking:
        check = PersonalizeCheck(asking, catalog, wishes.users, wishes.max_transactions)
        for target in targets:
            async for finding in check.check(target):
                yield finding
