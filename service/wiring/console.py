"""Builds the console; imported only where there is one."""

import orjson
import structlog

from service.braze.preview import Previews
from service.clock import Clock
from service.console.access import Reception
from service.console.console import Console, install_console
from service.console.pages import PATH, Pages
from service.console.room import ROUTERS
from service.console.send_tools import BatchState, PlacementFacts, SendTools
from service.console.spare import SpareSlots
from service.errors import BatchError
from service.hosts import is_loopback
from service.sends.plan.aside import PlannerAside
from service.settings import Settings
from service.settings.key_files import secret
from service.settings.placements import PlacementTerms
from service.wiring.names import freshness
from service.wiring.shown_settings import shown_settings

__all__ = ["ROUTERS", "build_console", "install_console"]

_log = structlog.stdlib.get_logger(__name__)


def build_console(settings: Settings, clock: Clock) -> Console:
    """The console of an application with these settings."""
    if settings.console_access == "open" and not is_loopback(settings.host):
        _log.warning(
            "console_open",
            host=settings.host,
            problem="everybody who reaches this address sees the console, and can block items and forget users",
            remedy="set CONSOLE_ACCESS=keyed and ADMIN_KEYS, or HOST=127.0.0.1",
        )
    return Console(
        pages=Pages(settings.root_path),
        reception=Reception(
            access=settings.console_access,
            secret=secret(settings.console_secret),
            admin_keys=settings.admin_key_list,
            hosts=frozenset({settings.host.lower(), *settings.console_host_names}),
            path=f"{settings.root_path}{PATH}",
            clock=clock,
        ),
        spare=SpareSlots(clock),
        previews=Previews(),
        sends=_send_tools(settings),
        settings=shown_settings(settings),
    )


def _send_tools(settings: Settings) -> SendTools:
    defaults = freshness(settings)

    def facts(terms: PlacementTerms) -> PlacementFacts:
        return PlacementFacts(
            kind=terms.kind,
            tps=terms.tps,
            fresh_seconds=defaults.fresh_seconds if terms.fresh_seconds is None else terms.fresh_seconds,
            stale_seconds=defaults.stale_seconds if terms.stale_seconds is None else terms.stale_seconds,
        )

    return SendTools(
        planner=PlannerAside(),
        placements={name: facts(terms) for name, terms in settings.placements.items()},
        batch_state=lambda name: _batch_state(settings, name),
        deadline_seconds=settings.request_deadline_seconds,
        live_until_event=settings.lists_live_until_event,
    )


def _batch_state(settings: Settings, placement: str) -> BatchState:
    from service.batch.load import LoadProgress, SetDescription  # noqa: PLC0415  # as the next line
    from service.wiring.tools import open_batch_sets  # noqa: PLC0415  # as large as a replica; for who asks only

    try:
        with open_batch_sets(settings, placement) as sets:
            status = sets.status()
    except BatchError as error:
        return BatchState(0, None, None, str(error))
    active = None if status.description is None else SetDescription(**orjson.loads(status.description))
    progress = LoadProgress(**orjson.loads(status.progress)) if status.progress else LoadProgress()
    return BatchState(
        lists=status.lists,
        loaded_at=None if active is None else active.loaded_at,
        loading=None if status.progress is None else progress.lists,
    )
