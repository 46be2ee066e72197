from typing import Any

import pytest

from service.filters import (
    FilterColumnError,
    FilterDatasetError,
    FilterValueError,
    Value,
    check_columns,
    compile_item_exclusion,
    evaluate,
    parse_filter,
)


def shows(where: str, value: Value, **given: str) -> bool:
    """Whether an item with this value passes ``INCLUDE ... Items.X <where>``."""
    parsed = parse_filter(f"INCLUDE ItemID WHERE Items.X {where}")
    return compile_item_exclusion(parsed, ["x"])({"x": value}, given)


# Values of a row


@pytest.mark.parametrize("missing", [None, "", "|", float("nan")])
@pytest.mark.parametrize("where", ['IN ("")', 'NOT IN ("a")', "= 0", "!= 0", "< 9"])
def test_a_missing_value_matches_nothing(where: str, missing: Value) -> None:
    assert not shows(where, missing)


def test_a_column_missing_in_a_row_is_a_missing_value() -> None:
    predicate = compile_item_exclusion(parse_filter('INCLUDE ItemID WHERE Items.X NOT IN ("a")'), ["x"])
    assert not predicate({})


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ('IN ("a", "b")', "b", True),
        ('IN ("a")', "A", False),
        ('IN ("b")', "a|b|c", True),
        ('IN ("a|b")', "a|b", False),
        ('NOT IN ("b")', "a|b|c", False),
        ('NOT IN ("d")', "a|b|c", True),
        ('= "b"', "a|b|c", True),
        ('= "b"', "B", False),
        ('!= "b"', "a", True),
        ('IN ("5")', 5, True),
        ('IN ("5")', 5.0, True),
        ('IN ("4.5")', 4.5, True),
        ('IN ("True")', True, True),
        ('IN ("true")', True, True),
        ('NOT IN ("false")', False, False),
        ("= 5", "5.0", True),
        ("= 1", True, True),
        ("!= 5", "4", True),
        ("> 39.98", " 39.99 ", True),
        ("> 0", "12 EUR", False),
        ("!= 0", "1_000", False),
        ("> 0", "inf", False),
        ("< 0", 10**400, False),
    ],
)
def test_how_a_value_is_read(where: str, value: Value, expected: bool) -> None:  # noqa: FBT001 - a column of a table
    assert shows(where, value) is expected


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        ('IN ("b")', ["a", "b|c", 5], True),
        ('IN ("5")', ["a", ["b", 5.0]], True),
        ('NOT IN ("b")', ["a", "b"], False),
        ('NOT IN ("b")', [None, ""], False),
        ('NOT IN ("b")', {"b": 1}, False),
        ("> 0", [7], False),
        ("!= 0", {"a": 7}, False),
    ],
)
def test_a_list_of_json_is_several_texts_and_no_number(where: str, value: Any, expected: bool) -> None:  # noqa: FBT001, ANN401 - columns of a table
    assert shows(where, value) is expected


def test_and_binds_tighter_than_or() -> None:
    parsed = parse_filter('INCLUDE ItemID WHERE Items.A IN ("x") OR Items.A IN ("y") AND Items.B > 1')
    passes = compile_item_exclusion(parsed, ["a", "b"]).bind()
    assert passes({"a": "x", "b": 0})
    assert not passes({"a": "y", "b": 0})
    assert passes({"a": "y", "b": 2})


def test_include_and_exclude_subtract_in_any_order() -> None:
    include, exclude = 'INCLUDE ItemID WHERE Items.A IN ("x")', "EXCLUDE ItemID WHERE Items.B > 1"
    for text in (f"{include} | {exclude}", f"{exclude} | {include}"):
        passes = compile_item_exclusion(parse_filter(text), ["a", "b"]).bind()
        assert passes({"a": "x", "b": 1})
        assert not passes({"a": "x", "b": 2})
        assert not passes({"a": "y", "b": 1})


# Columns


def test_columns_are_found_without_regard_to_case_and_an_exact_name_wins() -> None:
    parsed = parse_filter('EXCLUDE ItemID WHERE Items.CATEGORY IN ("x") AND Items.Price > 1')
    predicate = compile_item_exclusion(parsed, ["id", "category", "price", "Price"], rows="sequence")
    assert predicate.columns == ("category", "Price")
    assert not predicate(("1", "x", 0, 2))
    assert predicate(("1", "x", 2, 0))


def test_an_unknown_column_is_refused_with_the_columns_there_are() -> None:
    parsed = parse_filter("EXCLUDE ItemID WHERE Items.PRICES > 1")
    with pytest.raises(FilterColumnError, match=r"Items\.PRICES; the columns are: id, price") as caught:
        compile_item_exclusion(parsed, ["id", "price"])
    assert caught.value.known == ("id", "price")
    assert caught.value.column == 22


def test_a_field_that_could_be_two_columns_is_refused() -> None:
    parsed = parse_filter("EXCLUDE ItemID WHERE Items.PRICE > 1")
    with pytest.raises(FilterColumnError, match="could be any of price, Price"):
        compile_item_exclusion(parsed, ["price", "Price"])


def test_columns_of_items_and_users_can_be_checked_beforehand() -> None:
    parsed = parse_filter(
        "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE IF CurrentUser.AGE > 1 | "
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    )
    check_columns(parsed, items=["PRICE"], users=["AGE"])
    with pytest.raises(FilterColumnError, match=r"no column for CurrentUser\.AGE"):
        check_columns(parsed, items=["PRICE"], users=["USER_ID"])


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("x")', 22),
        ("EXCLUDE ItemID WHERE Items.A = CurrentItem.A", 32),
        ("EXCLUDE ItemID WHERE Items.A = 1 IF CurrentUser.A = 1", 37),
    ],
)
def test_an_exclusion_over_the_catalogue_refuses_what_the_catalogue_does_not_know(text: str, column: int) -> None:
    with pytest.raises(FilterDatasetError, match="only Items can be asked about here") as caught:
        compile_item_exclusion(parse_filter(text), ["A"])
    assert caught.value.column == column


# Values of placeholders


@pytest.mark.parametrize(
    ("given", "hits"),
    [
        ("a", ["a"]),
        ('"a"', ["a"]),
        ('"a","b"', ["a", "b"]),
        (' a , "b" ', ["a", "b"]),
        ('"a,b"', ["a,b"]),
        ("a b,,c", ["a b", "c"]),
        (r'"say \"hi\"","c:\\"', ['say "hi"', "c:\\"]),
        ('24"', ['24"']),
    ],
)
def test_the_values_given_for_a_placeholder_are_split_as_personalize_splits_them(given: str, hits: list[str]) -> None:
    assert all(shows("IN ($X)", hit, X=given) for hit in hits)
    assert not any(shows("IN ($X)", miss, X=given) for miss in ["z", given] if miss not in hits)


@pytest.mark.parametrize("given", ['"a', '"a"b', 'a,"', ' "', '"a\\"'])
def test_values_with_an_unclosed_quote_are_refused(given: str) -> None:
    with pytest.raises(FilterValueError, match=r"\$X: a double quote"):
        shows("IN ($X)", "a", X=given)


@pytest.mark.parametrize("given", ["abc", "1,2", '""', "nan", "1_0"])
def test_a_comparison_needs_one_number(given: str) -> None:
    with pytest.raises(FilterValueError, match=r"\$X: one number"):
        shows("= $X", "1", X=given)


def test_a_number_may_stand_in_quotes() -> None:
    assert shows("<= $X", 20, X='"20.0"')


@pytest.mark.parametrize("given", [{}, {"X": ""}, {"X": " "}, {"x": "a"}])
def test_an_include_needs_a_value_for_each_placeholder(given: dict[str, str]) -> None:
    with pytest.raises(FilterValueError, match=r"\$X: an INCLUDE needs a value") as caught:
        shows('IN ("a", $X)', "a", **given)
    assert caught.value.placeholder == "X"


def test_an_exclude_without_all_its_values_is_skipped_as_a_whole() -> None:
    parsed = parse_filter(
        'EXCLUDE ItemID WHERE Items.X IN ("a") OR Items.X IN ($X) | EXCLUDE ItemID WHERE Items.X IN ("c")'
    )
    predicate = compile_item_exclusion(parsed, ["X"])
    assert (predicate.placeholders, predicate.is_static) == (frozenset({"X"}), False)
    assert [predicate({"X": x}) for x in "abc"] == [True, True, False]
    assert [predicate({"X": x}, {"X": "b", "OTHER": '"'}) for x in "abc"] == [False, False, False]


def test_a_filter_without_placeholders_is_static() -> None:
    predicate = compile_item_exclusion(parse_filter("EXCLUDE ItemID WHERE Items.X > 1"), ["X"])
    assert (predicate.placeholders, predicate.is_static) == (frozenset(), True)
    assert predicate.bind() is predicate.bind({"Y": "1"})


# With users and interactions


ITEMS: dict[str, dict[str, Value]] = {f"i{n}": {"price": n, "genre": "odd" if n % 2 else "even"} for n in range(6)}


def selected(text: str, **known: object) -> set[str]:
    passes = evaluate(parse_filter(text), items=ITEMS, **known)  # type: ignore[arg-type]  # each test gives its own
    return {item_id for item_id in ITEMS if passes(item_id)}


def test_event_types_are_compared_without_regard_to_case_and_a_star_means_any() -> None:
    interactions = [("i0", "Click"), ("i1", "PURCHASE")]
    assert selected('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("cLICK")', interactions=interactions) == {"i0"}
    assert selected('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', interactions=interactions) == {
        "i0",
        "i1",
    }
    assert selected('INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("click")', interactions=interactions) == {
        "i1"
    }


def test_only_the_latest_hundred_interactions_of_a_type_count() -> None:
    views = [("i0", "view"), ("i1", "click"), *[("i2", "View")] * 99]
    text = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    assert selected(text, interactions=views) == {"i3", "i4", "i5"}
    assert selected(text, interactions=[*views, ("i3", "view")]) == {"i0", "i4", "i5"}


@pytest.mark.parametrize(("user", "applied"), [({"age": 19}, True), ({"age": 18}, False), ({}, False)])
def test_an_expression_whose_if_does_not_hold_is_not_applied(user: dict[str, Value], applied: bool) -> None:  # noqa: FBT001 - a column of a table
    include = 'INCLUDE ItemID WHERE Items.GENRE IN ("odd") IF CurrentUser.AGE > 18'
    text = f"{include} | EXCLUDE ItemID WHERE Items.PRICE > 3"
    assert selected(text, user=user) == ({"i1", "i3"} if applied else {"i0", "i1", "i2", "i3"})


def test_related_items_can_be_compared_with_the_current_one() -> None:
    text = "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE"
    assert selected(text, current_item=ITEMS["i4"]) == {"i0", "i2"}
    assert selected(text, current_item={"price": 4}) == set()
    with pytest.raises(FilterDatasetError, match="related items"):
        selected(text)


def test_an_item_without_columns_matches_no_condition() -> None:
    text = 'EXCLUDE ItemID WHERE Items.GENRE NOT IN ("odd")'
    assert evaluate(parse_filter(text), items=ITEMS)("unheard-of")
