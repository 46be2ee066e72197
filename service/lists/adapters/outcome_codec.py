"""An outcome of a flight as bytes, as pins in Redis and messages to followers carry it."""

import struct
from typing import Final, get_args

from service.errors import DegradedReason
from service.lists.envelope import VERSION, readable
from service.lists.ports import Outcome, OutcomeSource

OUTCOME_VERSION: Final = 0x10 + VERSION
"""First byte of a packed outcome. It changes with the envelope's version, since an outcome carries an envelope."""

_HEAD = struct.Struct(">BBBB")

_SOURCES: Final[dict[str, OutcomeSource]] = {one: one for one in get_args(OutcomeSource)}
_REASONS: Final[dict[str, DegradedReason | None]] = {"": None, **{one: one for one in get_args(DegradedReason)}}


def pack_outcome(outcome: Outcome) -> bytes:
    """An outcome as bytes: version, lengths of source and reason, whether there is an envelope; the three."""
    source, reason = outcome.source.encode(), (outcome.degraded_reason or "").encode()
    head = _HEAD.pack(OUTCOME_VERSION, len(source), len(reason), outcome.envelope is not None)
    return head + source + reason + (outcome.envelope or b"")


def unpack_outcome(packed: bytes) -> Outcome | None:
    """An outcome from its bytes; None for bytes of another version, cut short, or with words it does not know."""
    if len(packed) < _HEAD.size or packed[0] != OUTCOME_VERSION:
        return None
    _, source_length, reason_length, has_envelope = _HEAD.unpack_from(packed)
    reason_at = _HEAD.size + source_length
    envelope_at = reason_at + reason_length
    envelope = readable(packed[envelope_at:])
    if len(packed) < envelope_at or (has_envelope and envelope is None):
        return None
    try:
        source = packed[_HEAD.size : reason_at].decode()
        reason = packed[reason_at:envelope_at].decode()
    except UnicodeDecodeError:
        return None
    # A later version may know others.
    if source not in _SOURCES or reason not in _REASONS:
        return None
    return Outcome(envelope if has_envelope else None, _SOURCES[source], _REASONS[reason])
