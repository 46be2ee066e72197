import orjson
from hypothesis import given
from hypothesis import strategies as st

from service.catalog.item import ITEM_COLUMNS, CatalogRow, record_of, row_bytes

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
).filter(lambda value: "inf" not in repr(value))
ITEMS = st.tuples(TEXTS, TEXTS, TEXTS, VALUES, TEXTS).map(lambda values: dict(zip(ITEM_COLUMNS, values, strict=True)))
FURTHER = st.dictionaries(TEXTS.filter(lambda name: name not in ITEM_COLUMNS), VALUES, max_size=4)


@given(item=ITEMS, further=FURTHER, eligible=st.booleans())
def test_a_record_keeps_every_value_of_an_item(
    item: dict[str, object], further: dict[str, object], *, eligible: bool
) -> None:
    made = CatalogRow.from_values(item, list(further.values()), eligible=eligible)
    kept = record_of(item, list(further.values()))
    assert kept.count(b"\n") == 1
    read = CatalogRow.from_record(kept, eligible=eligible)
    assert read == made
    assert orjson.loads(read.fragment) == item
    assert read.values(list(further)) == {**item, **further}


@given(item=ITEMS, further=FURTHER)
def test_further_columns_follow_the_five_in_the_order_asked_for(
    item: dict[str, object], further: dict[str, object]
) -> None:
    row = CatalogRow.from_values(item, list(further.values()))
    asked = list(reversed(further))
    written = row.with_further([(name, list(further).index(name)) for name in asked])
    assert orjson.loads(written) == {**item, **further}
    assert list(orjson.loads(written)) == [*ITEM_COLUMNS, *asked]


def test_a_column_that_came_after_a_row_has_no_value_in_it_and_a_row_weighs_its_text_and_300_bytes() -> None:
    row = CatalogRow(b'{"id":"a"}', b'[5,"x",null]')
    assert [row.further_value(place) for place in range(5)] == ["5", "x", None, None, None]
    assert orjson.loads(row.with_further([("b", 1), ("d", 3), ("e", None)])) == {
        "id": "a",
        "b": "x",
        "d": None,
        "e": None,
    }
    assert row_bytes(row) == 300 + 10 + 12
    assert row.eligible
    assert CatalogRow.from_values({}, []).eligible
