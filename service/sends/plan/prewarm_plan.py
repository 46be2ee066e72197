"""What it takes to have all lists before a send."""

from dataclasses import dataclass

from service.constants import SPENT_SHARE
from service.sends.plan.send import Send


@dataclass(frozen=True, slots=True)
class PrewarmPlan:
    """Making a list for everyone without a fresh one before the send begins.

    Attributes:
        recipients: Who they are.
        spare: Share of the TPS that is spent on it.
        seconds: How long it takes, so how long before the send it must start at the latest.
        fresh_seconds_needed: `CACHE_FRESH_SECONDS` with which the first of these lists is fresh to the end of the send.
        all_fresh: Whether that is what the service has.
        all_usable: Whether the first of these lists can still be shown at the end of the send, at least as a stale one.
    """

    recipients: int
    spare: float
    seconds: float
    fresh_seconds_needed: float
    all_fresh: bool
    all_usable: bool


def plan_prewarm(send: Send, spare: float) -> PrewarmPlan:
    """The prewarm of a send that spends this share of the TPS."""
    recipients = send.lists - round(send.lists * send.ready)
    seconds = recipients / (send.tps * SPENT_SHARE * spare)
    needed = seconds + send.seconds if recipients else 0.0
    return PrewarmPlan(
        recipients=recipients,
        spare=spare,
        seconds=seconds,
        fresh_seconds_needed=needed,
        all_fresh=needed <= send.fresh_seconds,
        all_usable=needed <= send.stale_seconds,
    )
