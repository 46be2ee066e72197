"""What the metrics show of a running replica besides what it counts."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Final

from service.api.lifecycle import Services
from service.catalog.current import CurrentCatalog
from service.errors import SharedStateUnavailable
from service.events.services import EventServices
from service.personalize.campaign import PersonalizeCampaign
from service.tasks import stop_task
from service.telemetry import Telemetry
from service.wiring.campaign import AnsweringReplica
from service.wiring.shared import SharedState

BACKLOG_SECONDS: Final = 2.0
"""Between two looks at what waits to be sent on."""


WAITING: Final = "Events that wait to be sent on."
OLDEST: Final = "Age of the event that waits longest; 0 if none waits."


def open_gauges_without_events(telemetry: Telemetry) -> None:
    """Where there are no events, none waits: panels show 0."""
    telemetry.gauge("events_waiting", WAITING, lambda: 0.0)
    telemetry.gauge("events_oldest_seconds", OLDEST, lambda: 0.0)


async def open_event_gauges(telemetry: Telemetry, events: EventServices, stack: AsyncExitStack) -> None:
    """What waits to be sent on, looked at every few seconds."""
    waiting = telemetry.stored_gauge("events_waiting", WAITING)
    oldest = telemetry.stored_gauge("events_oldest_seconds", OLDEST)

    async def look() -> None:
        while True:
            with suppress(SharedStateUnavailable):
                backlog = await events.store.backlog()
                waiting.set(backlog.waiting)
                oldest.set(0.0 if backlog.oldest_at is None else max(0.0, time.time() - backlog.oldest_at))
            await asyncio.sleep(BACKLOG_SECONDS)

    task = asyncio.create_task(look(), name="events-backlog")
    stack.push_async_callback(stop_task, task)


def open_gauges(
    telemetry: Telemetry,
    replica: AnsweringReplica,
    services: Services,
    catalog: CurrentCatalog,
    shared: SharedState,
) -> None:
    """What the metrics show of a running replica."""
    memory = services.memory
    arms = [(placement.name, arm) for placement in replica.placements for arm in placement.arms]
    campaigns = [(name, arm.campaign) for name, arm in arms if arm.campaign is not None]

    def by_placement(read: Callable[[PersonalizeCampaign], float]) -> Callable[[], dict[str, float]]:
        """The largest value of a placement's arms."""

        def values() -> dict[str, float]:
            found: dict[str, float] = {}
            for name, campaign in campaigns:
                found[name] = max(found.get(name, 0.0), read(campaign))
            return found

        return values

    telemetry.gauges(
        "personalize_budget_tps",
        "Rate in use; at most the placement's TPS.",
        by_placement(lambda one: one.budget.tps_in_use),
    )
    telemetry.gauges(
        "personalize_breaker_state", "0 closed, 1 half-open, 2 open.", by_placement(lambda one: one.breaker.state)
    )
    telemetry.gauge(
        "flights_open", "Lists that are being fetched.", lambda: sum(len(one.flights) for _, one in campaigns)
    )
    telemetry.gauge(
        "refresh_queue",
        "Stale lists that wait for a free slot.",
        lambda: sum(len(one.refresher) for _, one in campaigns),
    )
    telemetry.gauge(
        "event_loop_tasks",
        "What this replica has under way, its background work included.",
        lambda: len(asyncio.all_tasks()),
    )
    telemetry.gauge("cache_entries", "Lists in memory.", lambda: len(memory))
    telemetry.gauge("redis_up", "1 when Redis answers or none is configured.", shared.redis_up)
    telemetry.gauge("replica_links", "Other replicas that this one is linked with.", shared.replica_links)
    telemetry.gauge("catalog_items", "Items that can be shown.", lambda: len(catalog.snapshot))
    telemetry.gauge(
        "cache_bytes",
        "Memory of lists, and of items ready for answers.",
        lambda: float(memory.bytes + memory.numbers.bytes + sum(ready.bytes for ready in replica.ready)),
    )
