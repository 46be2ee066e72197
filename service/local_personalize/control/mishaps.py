"""A bad day for rehearsal: what goes wrong in the control plane's own way, by an order that says how often.

An order is for the next resources of a kind that begin while it stands: `{"of": "control", "mode": "fail_training"}`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from service.local_personalize.refusals import invalid_input

MAX_TIMES: Final = 1000.0


class Mishap(StrEnum):
    """What goes wrong."""

    SLOW_IMPORTS = "slow_imports"
    """Import jobs take longer, by `factor`."""
    FAIL_IMPORTS = "fail_imports"
    FAIL_TRAINING = "fail_training"
    """Solution versions and recommenders end in CREATE FAILED."""
    FAIL_CAMPAIGN = "fail_campaign"
    FAIL_CAMPAIGN_UPDATE = "fail_campaign_update"
    """`latestCampaignUpdate` ends in UPDATE FAILED, and the campaign goes on with the version it had."""
    FAIL_BATCH = "fail_batch"
    """Batch inference and batch segment jobs end in CREATE FAILED."""


_REASONS: Final = {
    Mishap.FAIL_IMPORTS: "Insufficient privileges for accessing data in Amazon S3.",
    Mishap.FAIL_TRAINING: "The training job failed with an internal error. Create a new solution version to try again.",
    Mishap.FAIL_CAMPAIGN: "The campaign could not be created because of an internal error.",
    Mishap.FAIL_CAMPAIGN_UPDATE: "The campaign could not be updated because of an internal error.",
    Mishap.FAIL_BATCH: "Insufficient privileges for accessing data in Amazon S3.",
}


@dataclass(slots=True)
class _Order:
    left: int | None
    reason: str
    factor: float


class Mishaps:
    """The standing orders; none at first."""

    def __init__(self) -> None:
        self._orders: dict[Mishap, _Order] = {}

    def order(self, body: bytes) -> dict[str, object] | None:
        """Take an order: `mode`, and `count` (how often, else until cleared), `reason`, `factor`.

        The mode `none` clears all orders and goes on to the next that has faults.

        Returns:
            What was ordered; None for what is no order.

        Raises:
            Refusal: A number is none.
        """
        try:
            fields = orjson.loads(body)
            mode, count, factor = fields["mode"], fields.get("count"), fields.get("factor", 10)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if mode == "none" and fields.get("of", "control") == "control":
            self._orders.clear()
        if mode not in set(Mishap):
            return None
        if count is not None and (type(count) is not int or count < 1):
            raise invalid_input("count is not a whole number above 0")
        if type(factor) not in (int, float) or not 0 < factor <= MAX_TIMES:
            raise invalid_input(f"factor is not a number above 0 and at most {MAX_TIMES:g}")
        mishap = Mishap(mode)
        reason = str(fields.get("reason", _REASONS.get(mishap, "")))
        self._orders[mishap] = _Order(count, reason, float(factor))
        return {"mode": mode, "count": count}

    def failure(self, mishap: Mishap) -> str | None:
        """Why the resource that begins now has to fail; None if it need not."""
        order = self._taken(mishap)
        return None if order is None else order.reason

    def factor(self, mishap: Mishap) -> float:
        """How much longer than usual the resource that begins now takes."""
        order = self._taken(mishap)
        return 1.0 if order is None else order.factor

    def _taken(self, mishap: Mishap) -> _Order | None:
        order = self._orders.get(mishap)
        if order is not None and order.left is not None:
            order.left -= 1
            if not order.left:
                del self._orders[mishap]
        return order
