"""Builds the local Personalize over a model."""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.admin import AdminSurface
from service.local_personalize.arns import CAMPAIGN_ARN, RANKING_ARN, RECOMMENDER_ARN, SIMILAR_ITEMS_ARN, KnownArns
from service.local_personalize.control.control_plane import ControlPlane
from service.local_personalize.control.surface import ControlSurface
from service.local_personalize.events import EventsSurface
from service.local_personalize.faults import Fault
from service.local_personalize.filters import DeclaredFilters
from service.local_personalize.http import Application, Surface
from service.local_personalize.learn import CoVisitationModel
from service.local_personalize.runtime.operations import RuntimeOperations
from service.local_personalize.runtime.surface import RuntimeSurface
from service.local_personalize.serving.admission import Admission
from service.local_personalize.serving.events import TrainedEventsSurface
from service.local_personalize.serving.group import LiveGroups
from service.local_personalize.serving.runtime import TrainedRuntimeSurface
from service.local_personalize.serving.targets import Targets
from service.local_personalize.stats import CallStats
from service.local_personalize.throttle import TokenBucket

EVENTS_TPS: Final = 1_000
"""PutEvents calls per second. Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""


def create_app(
    model: CoVisitationModel | None,
    *,
    tps: float,
    latency_ms: float,
    campaign_arns: Iterable[str] = (),
    recommender_arns: Iterable[str] = (),
    filters: Iterable[str] = (),
    tracking_ids: Iterable[str] = (),
    control: ControlPlane | None = None,
    hosts: Collection[str] = (),
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> Application:
    """The ASGI application over a model.

    Args:
        model: Makes the lists of the resources that are always there; None: there are none of these.
        tps: Transactions per second admitted; 0 for no limit.
        latency_ms: How long each admitted call takes before it is answered.
        campaign_arns: Campaigns that exist besides `CAMPAIGN_ARN`.
        recommender_arns: Recommenders that exist besides `RECOMMENDER_ARN`.
        filters: `NAME=EXPRESSION` of each filter that exists.
        tracking_ids: Event trackers that exist besides `TRACKING_ID`.
        control: Makes further resources, which answer too; None: there is no control plane.
        hosts: Names under which it answers, beside addresses and those without a dot.
        clock: What the TPS and the length of a fault are measured by.
        wall_clock: Epoch seconds of the arrivals in the counts.

    Raises:
        LocalPersonalizeError: A filter cannot work.
    """
    stats, access_keys = CallStats(), AccessKeys()
    faults = {api: Fault(clock=clock) for api in ("runtime", "events", "control")}
    surfaces: list[Surface] = []
    if control is not None:
        groups, targets = LiveGroups(control.plane.store), Targets(control)
        surfaces += [
            ControlSurface(control, access_keys=access_keys, fault=faults["control"]),
            TrainedRuntimeSurface(
                targets=targets,
                groups=groups,
                answers_all=model is None,
                admission=Admission(
                    access_keys=access_keys,
                    fault=faults["runtime"],
                    stats=stats,
                    speed=control.speed,
                    clock=clock,
                    wall_clock=wall_clock,
                ),
                fault=faults["runtime"],
                latency_seconds=latency_ms / 1000,
            ),
            TrainedEventsSurface(
                control=control,
                groups=groups,
                answers_all=model is None,
                bucket=TokenBucket(tokens_per_second=EVENTS_TPS, clock=clock),
                access_keys=access_keys,
                fault=faults["events"],
            ),
        ]
    if model is not None:
        declared = DeclaredFilters(filters, model.dataset)
        known = KnownArns(
            campaigns=frozenset({CAMPAIGN_ARN, SIMILAR_ITEMS_ARN, RANKING_ARN, *campaign_arns}),
            recommenders=frozenset({RECOMMENDER_ARN, *recommender_arns}),
            filters=declared.arns,
        )
        surfaces += [
            RuntimeSurface(
                RuntimeOperations(model, known=known, filters=declared),
                bucket=TokenBucket(tokens_per_second=tps, clock=clock),
                access_keys=access_keys,
                fault=faults["runtime"],
                stats=stats,
                latency_seconds=latency_ms / 1000,
                wall_clock=wall_clock,
            ),
            EventsSurface(
                model,
                bucket=TokenBucket(tokens_per_second=EVENTS_TPS, clock=clock),
                access_keys=access_keys,
                fault=faults["events"],
                tracking_ids=frozenset(tracking_ids),
            ),
        ]
    mishaps = None if control is None else control.mishaps
    admin = AdminSurface(stats=stats, faults=faults, access_keys=access_keys, mishaps=mishaps)
    return Application([*surfaces, admin], hosts)
