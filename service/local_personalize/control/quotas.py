"""How many of each there may be.

Sources: https://docs.aws.amazon.com/personalize/latest/dg/limits.html, and its edition of 2023 for what the current
page no longer shows. Adjustable ones can be set at the start.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from service.local_personalize.control.refused import limit_exceeded
from service.local_personalize.control.store import Store
from service.local_personalize.errors import LocalPersonalizeError

DEFAULTS: Final = {
    "dataset-groups": 500,
    "schemas": 500,
    "import-jobs": 5,
    "solutions": 20,
    "solution-versions": 20,
    "campaigns": 10,
    "recommenders": 10,
    "filters": 10,
    "batch-inference-jobs": 5,
    "batch-segment-jobs": 5,
    "event-trackers": 1,
    "metric-attributions": 1,
}
"""Dataset groups and schemas in all; jobs and versions that are pending or in progress, in all; the rest in a group."""


def parse_quotas(given: Iterable[str]) -> dict[str, int]:
    """The quotas, with some set as `NAME=NUMBER`.

    Raises:
        LocalPersonalizeError: There is no such quota, or the number is none.
    """
    quotas = dict(DEFAULTS)
    for one in given:
        name, _, number = one.partition("=")
        if name not in DEFAULTS or not number.isdecimal():
            raise LocalPersonalizeError(f"--quota {one!r} is not NAME=NUMBER with a name of {', '.join(DEFAULTS)}")
        quotas[name] = int(number)
    return quotas


class Quotas:
    """Refuses what would be one too many.

    Args:
        store: Has what exists.
        limits: By name, as `DEFAULTS`.
    """

    def __init__(self, store: Store, limits: Mapping[str, int]) -> None:
        self._store = store
        self._limits = limits

    def check(self, quota: str, noun: str, **fields: object) -> None:
        """Let one more resource with these values pass.

        Raises:
            Refusal: LimitExceededException.
        """
        if sum(1 for _ in self._store.of(noun, **fields)) >= self._limits[quota]:
            within = next(iter(fields.values()), "this account")
            raise limit_exceeded(f"{within} already has {self._limits[quota]} resources of type {noun}.")

    def check_pending(self, quota: str, noun: str) -> None:
        """Let one more pass that begins as pending.

        Raises:
            Refusal: LimitExceededException.
        """
        pending = ("CREATE PENDING", "CREATE IN_PROGRESS", "PENDING", "IN_PROGRESS")
        if sum(record["status"] in pending for record in self._store.of(noun)) >= self._limits[quota]:
            raise limit_exceeded(f"More than {self._limits[quota]} resources with PENDING or IN_PROGRESS status.")
