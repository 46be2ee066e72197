"""An outcome as bytes: what comes back is what was sent, or nothing."""

import itertools
from typing import get_args

import pytest

from service.errors import DegradedReason
from service.lists.adapters.outcome_codec import pack_outcome, unpack_outcome
from service.lists.envelope import seal
from service.lists.ports import Outcome, OutcomeSource
from service.models import ItemList

ENVELOPE = seal(ItemList(("a", "b"), "recommendation", 1_700_000_000.0))
OUTCOMES = [
    Outcome(envelope, source, reason)
    for envelope, source, reason in itertools.product(
        (None, ENVELOPE), get_args(OutcomeSource), (None, *get_args(DegradedReason))
    )
]


def test_every_outcome_comes_back() -> None:
    assert [unpack_outcome(pack_outcome(one)) for one in OUTCOMES] == OUTCOMES


def test_one_that_was_cut_short_before_its_list_is_none() -> None:
    for outcome in OUTCOMES:
        packed = pack_outcome(outcome)
        for length in range(len(packed) - len(outcome.envelope or b"")):
            assert unpack_outcome(packed[:length]) is None, (outcome, length)


@pytest.mark.parametrize("place", [0, 4])
def test_one_of_another_version_or_of_another_word_is_none(place: int) -> None:
    packed = bytearray(pack_outcome(OUTCOMES[0]))
    packed[place] ^= 1
    assert unpack_outcome(bytes(packed)) is None
    packed[place] = 0xFF
    assert unpack_outcome(bytes(packed)) is None
