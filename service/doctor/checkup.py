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
from service.doctor.events import check_tracker
from service.doctor.findings import Finding, is_fine, ok, warning
from service.doctor.machine import check_data_dir, check_open_files
from service.doctor.personalize import PersonalizeCheck
from service.doctor.redis import check_redis
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
    for finding in (*findings, *check_variables(), *check_open_files()):
        yield finding
    if settings is None:
        yield warning("settings", "nothing further is looked at before they can be read")
        return
    async with AsyncExitStack() as stack:
        async for finding in _Checkup(settings, wishes, clock, stack).findings():
            yield finding


class _Checkup:
    """Of a set-up whose settings can be read."""

    def __init__(self, settings: Settings, wishes: Wishes, clock: Clock, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._wishes = wishes
        self._clock = clock
        self._stack = stack
        self._clocks = ClockComparison(clock.time)
        self._targets = targets_of(settings.placements)

    async def findings(self) -> AsyncIterator[Finding]:
        """All of them."""
        settings, clocks = self._settings, self._clocks
        for finding in check_data_dir(settings.data_dir, embedded=not settings.redis_url):
            yield finding
        region = self._targets[0].region
        aws = await self._stack.enter_async_context(AwsSession(region_hint=region, clock=self._clock))
        aws.on_answer = clocks.saw_answer
        signed = await self._credentials(aws, region)
        for finding in signed:
            yield finding
        catalog, findings = await check_catalog(settings, aws, self._stack)
        for finding in findings:
            yield finding
        shared = await self._redis()
        for finding in shared:
            yield finding
        if aws.credentials.found is not None:
            async for finding in self._personalize(aws, catalog, redis_works=is_fine(shared)):
                yield finding
        for finding in clocks.findings():
            yield finding

    async def _credentials(self, aws: AwsSession, region: str) -> list[Finding]:
        findings = await check_credentials(aws)
        if is_fine(findings):
            identity, more = await check_identity(aws, region)
            findings += [*more, *check_regions(self._targets, identity)]
        return findings

    async def _redis(self) -> list[Finding]:
        if self._settings.redis_url is None:
            return [ok("Redis", "none is configured, so there may be one replica only")]
        url, keeps_events = self._settings.redis_url.get_secret_value(), bool(self._settings.event_key_list)
        return await check_redis(url, self._clocks, keeps_events=keeps_events)

    async def _personalize(
        self, aws: AwsSession, catalog: ItemCatalog | None, *, redis_works: bool
    ) -> AsyncIterator[Finding]:
        settings, most = self._settings, self._wishes.max_transactions
        if not most:
            yield warning("Personalize", "is not asked, as wished", "--transactions 3 asks")
            return
        if settings.redis_url is None:
            whose = "at PERSONALIZE_TPS"
        else:
            whose = "of the budget that the replicas share" if redis_works else "of a replica's own share"
        total = most * len(self._targets)
        yield ok("Personalize", f"is asked now: at most {total} transactions, in slots {whose}")
        asked = open_asking(settings, aws, self._clock, self._targets, redis_works=redis_works)
        async with asked as asking:
            check = PersonalizeCheck(asking, catalog, self._wishes.users, most)
            for target in self._targets:
                async for finding in check.check(target):
                    yield finding
        if settings.event_key_list and settings.personalize_tracking_id:
            yield await check_tracker(settings.personalize_tracking_id, aws, self._clock)
