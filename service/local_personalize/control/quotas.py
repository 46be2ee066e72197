"""How many of each there may be.

Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html. Any can be set at the start.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from service.local_personalize.control.refused import limit_exceeded
from service.local_personalize.control.store import Store
from service.local_personalize.errors import LocalPersonalizeError

DEFAULTS: Final = {
    "dataset-groups": 5,
    "schemas": 500,
    "import-jobs": 5,
    "solutions": 10,
    "solution-versions": 20,
    "campaigns": 5,
    "recommenders": 5,
    "filters": 30,
    "filter-fields": 20,
    "deletion-jobs": 5,
    "batch-inference-jobs": 5,
    "batch-segment-jobs": 5,
    "event-trackers": 1,
    "metric-attributions": 1,
}
"""Groups and schemas in all; jobs and versions that are pending or in progress, in all; the rest in a group."""


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

    def check_fields(self, count: int, group_arn: str) -> None:
        """Let a filter pass with which the filters of a group have so many distinct fields.

        Raises:
            Refusal: LimitExceededException.
        """
        if count > self._limits["filter-fields"]:
            raise limit_exceeded(
                f"The filters of {group_arn} would have {count} distinct fields; "
                f"at most {self._limits['filter-fields']} are allowed."
            )

    def check_pending(self, quota: str, noun: str, **fields: object) -> None:
        """Let one more pass that begins as pending, among those with these values.

        Raises:
            Refusal: LimitExceededException.
        """
        pending = ("CREATE PENDING", "CREATE IN_PROGRESS", "PENDING", "IN_PROGRESS")
        if sum(record["status"] in pending for record in self._store.of(noun, **fields)) >= self._limits[quota]:
            raise limit_exceeded(f"More than {self._limits[quota]} resources with PENDING or IN_PROGRESS status.")
