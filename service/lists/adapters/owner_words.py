"""What replicas ask an owner and what it answers, as words of a message."""

import math
from contextlib import suppress

from service.errors import SharedStateUnavailable
from service.fleet.link import Message
from service.lists.adapters.outcome_codec import pack_outcome, unpack_outcome
from service.lists.adapters.owned import Ages, Ended
from service.lists.envelope import readable
from service.lists.ports import Boarding


def flag(is_so: bool) -> bytes:  # noqa: FBT001  # its only argument
    """Empty for no."""
    return b"1" if is_so else b""


def written_ages(ages: Ages) -> tuple[bytes, bytes]:
    """Two words."""
    return seconds(ages.earliest), seconds(ages.latest)


def read_ages(earliest: bytes, latest: bytes) -> Ages:
    """The same again.

    Raises:
        ValueError: They are no numbers.
    """
    return Ages(float(earliest), float(latest))


def seconds(number: float) -> bytes:
    """One word."""
    return repr(number).encode()


def read_seconds(word: bytes) -> float:
    """The same again.

    Raises:
        ValueError: It is no number, or endless.
    """
    number = float(word)
    if not math.isfinite(number):
        raise ValueError("seconds without an end")
    return number


def written_boarding(boarding: Boarding) -> Message:
    """Four words."""
    pinned = b"" if boarding.pinned is None else pack_outcome(boarding.pinned)
    lasts = boarding.pinned_seconds if pinned else boarding.lease_seconds
    return [flag(boarding.leader), boarding.envelope or b"", pinned, seconds(lasts)]


def read_boarding(words: Message) -> Boarding:
    """The same again.

    Raises:
        SharedStateUnavailable: It is no answer.
    """
    with suppress(ValueError):
        match words:
            case [leads, kept, pinned, lasts]:
                pin = unpack_outcome(pinned) if pinned else None
                left = read_seconds(lasts)
                return Boarding(
                    leader=bool(leads),
                    envelope=readable(kept),
                    pinned=pin,
                    pinned_seconds=left if pin else 0.0,
                    lease_seconds=0.0 if pin else left,
                )
    raise SharedStateUnavailable("the owner is cut off, or speaks another version")


def written_ended(ended: Ended) -> Message:
    """Three words; who follows is the owner's matter."""
    pinned, lasts = (b"", 0.0) if ended.pin is None else (pack_outcome(ended.pin[0]), ended.pin[1])
    return [pinned, seconds(lasts), ended.envelope or b""]


def read_ended(words: Message) -> Ended:
    """The same again.

    Raises:
        SharedStateUnavailable: It is no answer.
    """
    with suppress(ValueError):
        match words:
            case [pinned, lasts, kept]:
                pin, left = unpack_outcome(pinned) if pinned else None, read_seconds(lasts)
                return Ended(None if pin is None else (pin, left), readable(kept), {})
    raise SharedStateUnavailable("the owner is cut off, or speaks another version")
