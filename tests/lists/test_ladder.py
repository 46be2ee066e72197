"""What is shown when no live list can be had."""

import pytest

from service.lists.envelope import seal
from service.lists.ladder import Ladder, NoPopularList
from service.lists.ports import Outcome
from service.models import ItemList


@pytest.mark.parametrize(("age", "source"), [(9.0, "batch"), (10.0, "stale"), (11.0, "stale")])
def test_of_a_stale_and_a_batch_list_the_newer_one_is_shown_and_of_two_of_a_moment_the_users_own(
    age: float, source: str
) -> None:
    stale, batch = (seal(ItemList((name,), name, made)) for name, made in (("stale", age), ("batch", 10.0)))
    shown = Ladder(NoPopularList()).step_down(stale, "budget", batch)
    assert shown == Outcome(stale if source == "stale" else batch, "stale" if source == "stale" else "batch", "budget")
