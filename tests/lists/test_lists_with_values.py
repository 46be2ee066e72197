"""Which lists with filter values are kept in memory, whatever comes and goes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.constants import MAX_LISTS_WITH_VALUES
from service.lists.envelope import Envelope
from service.lists.keys import UserKeys, prefix_of_values
from service.lists.memory import ListMemory
from service.models import ListRequest

KEYS = UserKeys(secret="secret", scope="campaign")
USERS = st.sampled_from(["a", "b"])
VALUES = st.one_of(st.none(), st.integers(0, MAX_LISTS_WITH_VALUES + 4))
STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "put", "discard", "erase"]), USERS, VALUES), max_size=150)


@given(steps=STEPS, entries=st.sampled_from([5, 30, 1_000]))
def test_each_user_keeps_the_latest_and_no_trace_of_others(
    steps: list[tuple[str, str, int | None]], entries: int
) -> None:
    lists = ListMemory(entries * 300)
    latest: dict[bytes, None] = {}
    for act, user, value in steps:
        key = KEYS.of(ListRequest(user, filter_values=() if value is None else (("X", str(value)),)))
        latest.pop(key, None)
        if act == "put":
            lists.put(key, Envelope(b"x"))
            latest[key] = None
        elif key in lists:
            getattr(lists, act)(key)
        kept = [user_prefix for key in lists if (user_prefix := prefix_of_values(key)) is not None]
        assert max(Counter(kept).values(), default=0) <= MAX_LISTS_WITH_VALUES
        # What is known of a user goes with the last list.
        assert sorted(key for keys in lists._with_values.values() for key in keys) == sorted(
            key for key in lists if prefix_of_values(key) is not None
        )
        assert lists._with_values.keys() == set(kept)
    if entries == 1_000:
        for user in "ab":
            mine = [key for key in latest if prefix_of_values(key) == KEYS.prefix(user)]
            assert all(key in lists for key in mine[-MAX_LISTS_WITH_VALUES:])
