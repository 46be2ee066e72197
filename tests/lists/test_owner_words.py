"""What replicas ask an owner, and what it answers, comes back from its words as it was."""

import pytest

from service.errors import SharedStateUnavailable
from service.lists.adapters import owner_words as words
from service.lists.adapters.owned import Ages, Ended
from service.lists.envelope import Envelope, seal
from service.lists.ports import Boarding, Outcome
from service.models import ItemList

LIST = seal(ItemList(("a", "b"), "RID", 1.5))
PIN = Outcome(LIST, "stale", "budget")


@pytest.mark.parametrize(
    "boarding",
    [
        Boarding(leader=True),
        Boarding(leader=True, envelope=LIST),
        Boarding(leader=False, envelope=LIST, lease_seconds=1.25),
        Boarding(leader=False, envelope=LIST, pinned=PIN, pinned_seconds=3.75),
        Boarding(leader=False, pinned=Outcome(None, "popular", "timeout"), pinned_seconds=0.1),
    ],
)
def test_a_boarding_comes_back(boarding: Boarding) -> None:
    assert words.read_boarding(words.written_boarding(boarding)) == boarding


@pytest.mark.parametrize("pin", [None, (PIN, 2.5)])
@pytest.mark.parametrize("envelope", [None, LIST])
def test_an_end_comes_back(pin: tuple[Outcome, float] | None, envelope: Envelope | None) -> None:
    ended = Ended(pin, envelope, {})
    assert words.read_ended(words.written_ended(ended)) == ended


def test_ages_come_back_and_what_is_no_answer_is_refused() -> None:
    assert words.read_ages(*words.written_ages(Ages(1.25, 2e9))) == Ages(1.25, 2e9)
    with pytest.raises(ValueError, match="could not convert"):
        words.read_ages(b"soon", b"1.0")
    for read in (words.read_boarding, words.read_ended):
        for odd in ([], [b"1"], [b""] * 5):
            with pytest.raises(SharedStateUnavailable):
                read(odd)


@pytest.mark.parametrize("lasts", [b"", b"soon", b"nan", b"inf"])
def test_an_answer_without_a_number_counts_as_none(lasts: bytes) -> None:
    with pytest.raises(SharedStateUnavailable):
        words.read_boarding([b"", b"", b"", lasts])
    with pytest.raises(SharedStateUnavailable):
        words.read_ended([b"", lasts, b""])
