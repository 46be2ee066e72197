"""At most so many of a kind by numbers: what is decided item by item, however often and in whatever way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers import kinds as module
from service.answers.arrangement import room_within
from service.answers.kinds import Kinds, UnknownKind
from tests.support.examples import examples

Values = tuple[object, ...] | None
"""Of the bounded columns; None: the item is not to be shown."""

_value = st.sampled_from(["a", "b", "c", None])
_of_columns = st.sampled_from([1, 2, 5]).flatmap(
    lambda count: st.tuples(
        st.tuples(*[st.integers(1, 3)] * count),
        st.lists(st.none() | st.tuples(*[_value] * count), min_size=1, max_size=14),
    )
)


def decided(
    bounds: tuple[int, ...], items: list[Values], order: list[int], wanted: int, standing: list[int]
) -> tuple[list[int], list[int]]:
    takes = room_within(bounds)
    for number in standing:
        takes(items[number] or ())
    shown: list[int] = []
    skipped: list[int] = []
    for number in order:
        values = items[number]
        (shown if values is not None and takes(values) else skipped).append(number)
        if len(shown) == wanted:
            break
    return shown, skipped


@pytest.mark.parametrize("copied", [0, 200])
@examples(15)
@given(asked=_of_columns, rest=st.randoms(use_true_random=False))
def test_what_is_chosen_by_numbers_is_what_is_decided_item_by_item(
    copied: int, asked: tuple[tuple[int, ...], list[Values]], rest: st.DataObject
) -> None:
    bounds, items = asked
    kinds = Kinds.of(bounds)
    kinds.renew(1)
    kinds.grow(len(items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_COPIED", copied)
        assert kinds.unknown(range(len(items))) == [*range(len(items))]
        for number, values in enumerate(items):
            kinds.note(number, values)
        assert kinds.unknown(range(len(items))) == []
        kinds.grow(len(items) + 1)
        room = list(kinds._room)
        for _ in range(4):
            order = rest.sample(range(len(items)), len(items))  # type: ignore[attr-defined]  # a random.Random
            fitting, _ = decided(bounds, items, order, 2, [])
            standing, order = fitting[: rest.randint(0, 2)], [one for one in order if one not in fitting]  # type: ignore[attr-defined]  # as above
            wanted = rest.randint(1, 5)  # type: ignore[attr-defined]  # as above
            assert kinds.choose(order, wanted, standing) == decided(bounds, items, order, wanted, standing)
            # An item that nobody knows yet.
            with pytest.raises(UnknownKind):
                kinds.choose([*order, len(items)], 100, standing)
            assert kinds._room == room
        kinds.renew(len(items))
        assert kinds.unknown([0]) == [0]
        kinds.note(0, ("a",) * len(bounds))
        assert kinds.choose([0], 1, []) == ([0], [])
