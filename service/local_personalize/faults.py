"""Misbehaviour on demand: failures of an upstream that a healthy one never shows."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import orjson

from service.local_personalize.http import Request
from service.local_personalize.refusals import invalid_input


class FaultMode(StrEnum):
    """What happens to every valid call while the fault lasts."""

    NONE = "none"
    HANG = "hang"
    """Accepted, and no answer within a minute."""
    RESET = "reset"
    """Accepted, and the connection is reset without an answer."""
    ERROR500 = "error500"
    """Accepted, and answered InternalFailure."""
    THROTTLE = "throttle"
    """Answered ThrottlingException, whatever the TPS."""
    GARBAGE = "garbage"
    """Accepted, and answered 200 with a body that is no JSON."""
    EMPTY = "empty"
    """Accepted, and answered 200 with a list of no items."""


class Fault:
    """The active fault, which may end by itself.

    Args:
        clock: Seconds that never run backwards.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._mode = FaultMode.NONE
        self._ends_at: float | None = None

    @property
    def mode(self) -> FaultMode:
        """What to do to the call at hand."""
        if self._ends_at is not None and self._clock() >= self._ends_at:
            self._mode, self._ends_at = FaultMode.NONE, None
        return self._mode

    def set(self, mode: FaultMode, *, seconds: float | None) -> None:
        """Replace the fault; without `seconds` it lasts until the next one."""
        self._mode = mode
        self._ends_at = None if seconds is None else self._clock() + seconds


async def is_taken_away(request: Request, mode: FaultMode) -> bool:
    """Whether the caller gets no answer, which has then happened to it: the call hung, or was reset."""
    if mode not in (FaultMode.HANG, FaultMode.RESET):
        return False
    if mode is FaultMode.HANG:
        await request.hang()
    await request.reset()
    return True


def parse_fault(body: bytes, apis: Sequence[str]) -> tuple[str, FaultMode, float | None]:
    """API, mode and seconds of `{"mode": "hang", "seconds": 5}`; the first API unless `of` names another.

    Raises:
        Refusal: There is no such mode, or the seconds are not a positive number.
    """
    try:
        fields = orjson.loads(body)
        mode, seconds = FaultMode(fields["mode"]), fields.get("seconds")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise invalid_input(f"mode is not one of {', '.join(FaultMode)}") from error
    if seconds is not None and (type(seconds) not in (int, float) or seconds <= 0):
        raise invalid_input("seconds is not a positive number")
    of = fields.get("of", apis[0])
    if of not in apis:
        raise invalid_input(f"of is not one of {', '.join(apis)}")
    return of, mode, seconds
