import pytest

from service.local_personalize import stats
from service.local_personalize.stats import CallStats


def test_memory_stays_bounded_and_the_plain_counts_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_MAX_KEPT", 3)
    counts = CallStats()
    for number in range(5):
        counts.count_transaction(f"user{number}", arrived_at=float(number))
        counts.count_signed(f"20261126T00000{number}Z")
    counts.count_transaction("user0", arrived_at=5.0)
    counts.count_signed("20261126T000000Z")

    snapshot = counts.snapshot()

    assert snapshot["transactions"] == 6
    assert snapshot["by_user"] == {"user0": 2, "user1": 1, "user2": 1}
    assert snapshot["arrivals"] == [3.0, 4.0, 5.0]
    assert snapshot["signed"] == {"20261126T000000Z": 2, "20261126T000001Z": 1, "20261126T000002Z": 1}


def test_a_call_about_an_item_belongs_to_no_user() -> None:
    counts = CallStats()
    counts.count_transaction(None, arrived_at=1.0)

    assert counts.snapshot()["by_user"] == {}
    assert counts.snapshot()["arrivals_without_user"] == [1.0]
