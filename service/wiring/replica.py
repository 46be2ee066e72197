"""Builds everything that answers requests, in order, and closes it in reverse.

Longer than 300 lines: it opens everything of a replica in one order, and closes it in reverse.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from service.answers.exclusions import RequestExclusion
from service.answers.ports import NoEvents
from service.api.admin import built_from, installed_version
from service.api.auth import Gate
from service.api.lifecycle import Administration, ClickRoutes, EventRoutes, ServiceLimits, Services
from service.aws.session import AwsSession
from service.catalog.adapters.source import open_source
from service.catalog.column_memory import ColumnMemory
from service.catalog.curated import look_for
from service.catalog.current import CurrentCatalog
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import ItemCatalog
from service.catalog.reading.exclusion import by_request
from service.catalog.refresh import CatalogRefresher
from service.clock import Clock, SystemClock
from service.errors import ConfigurationError
from service.filters import FilterError, compile_item_exclusion, parse_filter
from service.fleet.address import RedisAddress
from service.lists.forgetting import Forgetting, ForgottenLately
from service.lists.memory import ListMemory
from service.lists.numbers import MAX_NUMBERS, NUMBER_BYTES
from service.lists.renumbering import Renumbering
from service.personalize.ports import Recommender
from service.sends.pins import SendPins
from service.sends.prewarm.prewarmer import PlacementPrewarmer
from service.settings import Settings
from service.telemetry import Telemetry
from service.wiring.answer_report import open_answer_report
from service.wiring.campaign import Outside, Stores, Terms, open_answers
from service.wiring.data_dir import open_data_dir
from service.wiring.gauges import open_event_gauges, open_gauges, open_gauges_without_events
from service.wiring.names import freshness, user_keys
from service.wiring.rules import rule_problems
from service.wiring.sdk import aws_session, open_recommenders
from service.wiring.shared import SharedState, open_shared_state

NUMBERS_SHARE: Final = 0.125
"""Of CACHE_MAX_MB, for the numbers of items."""

READY_SHARE: Final = 0.125
"""Of CACHE_MAX_MB, for items that are ready for answers; lists take what is left."""

_ID_BYTES: Final = 36

_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class Overrides:
    """What tests put in the place of the outside."""

    clock: Clock | None = None
    recommender: Recommender | None = None


@asynccontextmanager
async def open_services(settings: Settings, overrides: Overrides | None = None) -> AsyncIterator[Services]:
    """Everything that answers, ready to answer.

    Raises:
        ConfigurationError: The catalogue, a rule over it, or Redis's address cannot work. Redis or Personalize being
            down is no error.
    """
    overrides = overrides or Overrides()
    clock = overrides.clock or SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(open_data_dir(settings))
        telemetry = Telemetry(access_log_sample=settings.access_log_sample, placements=settings.placements)
        telemetry.build(installed_version(), built_from() or "")
        tps_by_placement = {name: terms.tps for name, terms in settings.placements.items()}
        telemetry.gauges(
            "personalize_configured_tps", "The TPS that the settings give a placement.", lambda: tps_by_placement
        )
        aws = await stack.enter_async_context(aws_session(settings, clock))
        telemetry.gauge(
            "aws_credentials_failing",
            "1 while no source gives AWS credentials, or none before the end of those in use.",
            lambda: float(aws.credentials.failing),
        )
        stores, shared = await _open_stores(settings, clock, telemetry, stack)
        columns = ColumnMemory(shared.columns, clock)
        catalog, refresher = await _open_catalog(
            settings, stack, clock=clock, telemetry=telemetry, aws=aws, columns=columns, memory=stores.memory
        )
        override = overrides.recommender
        recommenders = {} if override is not None else await open_recommenders(settings, clock, aws, stack)
        pins = SendPins(
            shared.sends,
            keys=user_keys(settings),
            clock=clock,
            lately=stores.lately,
            pin_seconds=settings.send_pin_seconds,
            finds_impressions=bool(settings.event_key_list and settings.personalize_tracking_id),
        )
        stores.forgetting.search(pins)
        events = None
        if settings.event_key_list:
            # Nothing of it is imported without a key.
            from service.wiring.events import open_events  # noqa: PLC0415  # an optional room

            events = await open_events(
                settings,
                stack,
                clock=clock,
                aws=aws,
                way=shared.way,
                forgetting=stores.forgetting,
                telemetry=telemetry,
                impressions=pins,
            )
            await open_event_gauges(telemetry, events, stack)
        else:
            open_gauges_without_events(telemetry)
            _tell_of_no_use(settings)
        if problems := rule_problems(settings, catalog.snapshot):
            raise ConfigurationError(*problems)
        clicks = None
        if events is not None and settings.go_key_list and settings.go_url:
            # Nothing that signs is imported without a key.
            from service.events.adapters.links import SignedLinks  # noqa: PLC0415  # as above

            links = SignedLinks(settings.go_key_list, settings.go_url)
            clicks = ClickRoutes(links, catalog, events.intake, settings.go_event_type)
        outside = Outside(
            clock=clock,
            recommender_of=recommenders.__getitem__ if override is None else lambda _: override,
            governor_of=shared.governor_of,
            stores=stores,
            catalog=catalog,
            blocked=shared.blocked,
            recorder_of=telemetry.recorder_of,
            sends=pins,
            link_to=None if clicks is None else clicks.links.of,
            own_events=NoEvents() if events is None else events.doings,
            live=events.known if events is not None and settings.lists_live_until_event else None,
        )
        terms = Terms(
            secret=settings.user_key,
            freshness=freshness(settings),
            deadline_seconds=settings.request_deadline_seconds,
            curated=settings.popular_ids,
            exclusion=_request_exclusion(settings, catalog.snapshot),
            top_up=settings.top_up,
            group_column=settings.group_column,
            weights=settings.sender_weights,
            ready_bytes=int(settings.cache_max_mb * 2**20 * READY_SHARE),
        )
        replica = await stack.enter_async_context(open_answers(outside, terms, settings.placements))
        prewarmers = {one.name: PlacementPrewarmer(one, clock) for one in replica.placements}
        if events is not None and settings.lists_live_until_event:
            from service.wiring.events import open_due_lists  # noqa: PLC0415  # an optional room

            await open_due_lists(settings, events, stack, clock=clock, forgetting=stores.forgetting, makers=prewarmers)
        if shared.share_asked is not None:
            await shared.share_asked({one.name: one.asked_items for one in replica.placements}, stack)
        refresher.start()
        stack.push_async_callback(refresher.close)
        services = Services(
            clock=clock,
            gate=Gate(
                api_keys=settings.api_key_list,
                basic=settings.basic_auth_list,
                admin_keys=settings.admin_key_list,
                anonymous=settings.allow_anonymous and not settings.api_key_list and not settings.basic_auth_list,
                clock=clock,
            ),
            telemetry=telemetry,
            placements=replica.placements,
            administration=Administration(
                block_list=shared.blocked,
                items=catalog,
                catalog=refresher,
                forgetting=stores.forgetting,
                prewarmers=prewarmers,
            ),
            limits=ServiceLimits(
                deadline_seconds=settings.request_deadline_seconds,
                metrics_access=settings.metrics_access,
                docs_access=settings.docs_access,
                root_path=settings.root_path,
            ),
            about=_about(settings, catalog.snapshot),
            memory=stores.memory,
            clicks=clicks,
            events=None
            if events is None
            else EventRoutes(
                Gate(api_keys=settings.event_key_list, basic=None, admin_keys=(), anonymous=False), events
            ),
        )
        open_gauges(telemetry, replica, services, catalog, shared)
        await open_answer_report(telemetry.answers_by_reason, stack)
        yield services


async def _open_catalog(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    clock: Clock,
    telemetry: Telemetry,
    aws: AwsSession,
    columns: ColumnMemory,
    memory: ListMemory,
) -> tuple[CurrentCatalog, CatalogRefresher]:
    """The first catalogue, and what replaces it; the refresher is not yet started."""
    source = open_source(
        settings.catalog_url,
        aws=aws,
        column_mapping=settings.column_mapping,
        exclusion_filter=settings.exclusion_filter,
        data_dir=settings.data_dir,
        catalog_file=settings.catalog_file,
        monotonic=clock.monotonic,
    )
    stack.push_async_callback(source.close)
    catalog = CurrentCatalog(await source.load(1, await columns.recall()))
    await look_for(settings.popular_ids, catalog.snapshot)
    # Not left to the collector, which never looks at what was there at the start.
    stack.callback(lambda: catalog.snapshot.close())  # noqa: PLW0108  # the last one, not the first
    loaded_at = telemetry.stored_gauge("catalog_loaded_timestamp_seconds", "When the active catalogue was loaded.")
    loaded_at.set(clock.time())
    failing = telemetry.stored_gauge("catalog_refresh_failing", "1 while the source's newest version cannot be used.")

    renumbering = Renumbering(memory)
    stack.push_async_callback(renumbering.close)

    def loaded(_: ItemCatalog) -> None:
        loaded_at.set(clock.time())
        renumbering.look()

    await columns.keep(catalog.snapshot)
    refresher = CatalogRefresher(
        current=catalog,
        source=source,
        columns=columns,
        interval_seconds=settings.catalog_refresh_seconds,
        max_shrink=settings.catalog_max_shrink,
        curated=settings.popular_ids,
        on_loaded=loaded,
        on_looked=lambda active: failing.set(not active),
    )
    telemetry.gauge(
        "catalog_shrink_refused",
        "1 while the source's newest version is refused because it lost too many items.",
        lambda: refresher.refuses_shrunk,
    )
    telemetry.gauge(
        "catalog_columns_lost",
        "Columns that the catalogue had before and its source no longer has.",
        lambda: len(catalog.snapshot.lost_columns),
    )
    return catalog, refresher


async def _open_stores(
    settings: Settings, clock: Clock, telemetry: Telemetry, stack: AsyncExitStack
) -> tuple[Stores, SharedState]:
    flight_seconds = 2 * settings.request_deadline_seconds
    lately = ForgottenLately(clock=clock, flight_seconds=flight_seconds)
    forgetting = Forgetting(keys=user_keys(settings), lately=lately, flight_seconds=flight_seconds)
    stack.push_async_callback(forgetting.close)
    cache_bytes = settings.cache_max_mb * 2**20
    memory = ListMemory(
        int(cache_bytes * (1 - NUMBERS_SHARE - READY_SHARE)),
        min(MAX_NUMBERS, int(cache_bytes * NUMBERS_SHARE / (NUMBER_BYTES + _ID_BYTES))),
    )
    shared = await open_shared_state(
        settings, stack, clock=clock, memory=memory, forgetting=forgetting, recorder=telemetry
    )
    return Stores(memory, shared.lists_of, shared.batch_of, lately, forgetting), shared


def _tell_of_no_use(settings: Settings) -> None:
    """Name the placements that ask what users did, while nobody says what they did."""
    for name, terms in settings.placements.items():
        rules = (terms, *terms.variants)
        texts = [text for one in rules for text in (one.exclusion_filter, one.boost, one.bury) if text]
        if terms.item_from or any(parse_filter(text).uses_interactions for text in texts):
            _log.warning("placement_asks_for_events", placement=name, problem="EVENT_KEYS is not set: there are none")


def _about(settings: Settings, catalog: ItemCatalog) -> Mapping[str, object]:
    """What an operator wants to see at the start; no secret."""
    redis = settings.redis_url
    return {
        "version": installed_version(),
        "commit": built_from(),
        "placements": {name: f"{terms.tps:g} TPS" for name, terms in settings.placements.items()},
        "items": len(catalog),
        "redis": None if redis is None else RedisAddress.parse(redis.get_secret_value()).shown,
        "data_dir": str(settings.data_dir),
    }


def _request_exclusion(settings: Settings, catalog: ItemCatalog) -> RequestExclusion | None:
    """The exclusion if it differs from request to request; any other was applied when the catalogue was loaded."""
    if not settings.exclusion_filter:
        return None
    try:
        expression = parse_filter(settings.exclusion_filter)
        compile_item_exclusion(
            expression,
            [*ITEM_COLUMNS, *catalog.columns],
            item_id="id" if expression.uses_interactions and settings.event_key_list else None,
        )
    except FilterError as error:
        way_out = "; set EVENT_KEYS to ask what users did" if "Interactions" in str(error) else ""
        raise ConfigurationError(f"EXCLUSION_FILTER: {error}{way_out}") from error
    return RequestExclusion(expression) if by_request(expression) else None
