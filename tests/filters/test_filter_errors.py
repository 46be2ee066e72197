import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from service.filters import FilterSyntaxError, parse_filter

# A mark "^" stands before the character the message must point at; it is not part of the expression.
MALFORMED = [
    ("^", "expected EXCLUDE or INCLUDE, found the end"),
    ("^SHOW ItemID", "expected EXCLUDE or INCLUDE, found SHOW"),
    ("EXCLUDE^", "expected ItemID, found the end"),
    ("EXCLUDE ^UserID WHERE Items.A = 1", "only items"),
    ("EXCLUDE ItemID ^Items.A = 1", "expected WHERE, found Items"),
    ("EXCLUDE ItemID WHERE^  ", "a dataset and field such as Items.PRICE"),
    ("EXCLUDE ItemID WHERE ^(Items.A = 1)", "parentheses"),
    ("EXCLUDE ItemID WHERE ^PRICE.A = 1", "no dataset PRICE; there are Interactions, Items, CurrentUser or"),
    ("EXCLUDE ItemID WHERE Items ^PRICE = 1", 'expected a "." and a field name, found PRICE'),
    ("EXCLUDE ItemID WHERE Items.^= 1", "expected a field name"),
    ('EXCLUDE ItemID WHERE Items.^"" = 1', "expected a field name"),
    ('EXCLUDE ItemID WHERE Items.^"My Column = 1', "no closing double quote"),
    ("EXCLUDE ItemID WHERE Items.A^", "expected IN, NOT IN or one of = != < <= > >="),
    ("EXCLUDE ItemID WHERE Items.A ^IS NULL", "expected IN, NOT IN"),
    ('EXCLUDE ItemID WHERE Items.A ^LIKE "x"', "only exact text"),
    ("EXCLUDE ItemID WHERE Items.A =^= 1", "a single ="),
    ("EXCLUDE ItemID WHERE Items.A <^> 1", "written !="),
    ("EXCLUDE ItemID WHERE Items.A =^> 1", "<= and >="),
    ('EXCLUDE ItemID WHERE Items.A > ^"x"', "IN"),
    ("EXCLUDE ItemID WHERE Items.A = ^true", "no true and false"),
    ("EXCLUDE ItemID WHERE Items.A < ^Items.B", "no other field"),
    ("EXCLUDE ItemID WHERE Items.A = ^CurrentUser.B", "after IF"),
    ("EXCLUDE ItemID WHERE Items.A > ^1e999", "too large"),
    ('EXCLUDE ItemID WHERE Items.A IN ^"x"', 'expected CurrentItem.FIELD or "("'),
    ("EXCLUDE ItemID WHERE Items.A IN (^)", "text in double quotes"),
    ("EXCLUDE ItemID WHERE Items.A IN (^5)", "put the number in double quotes"),
    ("EXCLUDE ItemID WHERE Items.A IN (^'x')", "straight double quotes"),
    ("EXCLUDE ItemID WHERE Items.A IN (^\u201cx\u201d)", "straight double quotes"),
    ('EXCLUDE ItemID WHERE Items.A IN (^"x)', "no closing double quote"),
    ('EXCLUDE ItemID WHERE Items.A IN ("x" ^"y")', 'expected "," or ")", found "y"'),
    ('EXCLUDE ItemID WHERE Items.A IN ("x"^', 'expected "," or ")", found the end'),
    ('EXCLUDE ItemID WHERE Items.A IN (^"*")', "any event type"),
    ("EXCLUDE ItemID WHERE Items.A NOT IN (^$X)", "no placeholder can follow NOT IN"),
    (f"EXCLUDE ItemID WHERE Items.A = ^${'x' * 51}", "at most 50 characters"),
    ("EXCLUDE ItemID WHERE Items.A = 1 ^;", 'expected AND, OR, IF, "|" and a further expression or the end'),
    ("EXCLUDE ItemID WHERE Items.A = 1 AND^", "a dataset and field"),
    ("EXCLUDE ItemID WHERE Items.A = 1 |^", "expected EXCLUDE or INCLUDE"),
    ('EXCLUDE ItemID WHERE Interactions.^ITEM_ID IN ("x")', "only EVENT_TYPE"),
    ("EXCLUDE ItemID WHERE Interactions.EVENT_TYPE ^= 1", "event types are compared with IN"),
    ('EXCLUDE ItemID WHERE Items.A = 1 OR ^Interactions.EVENT_TYPE IN ("x")', 'chain a further one with "|"'),
    (
        "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ^CurrentItem.A",
        "only be compared with fields of Items",
    ),
    ("EXCLUDE ItemID WHERE ^CurrentUser.AGE > 1", "after IF"),
    ("EXCLUDE ItemID WHERE ^CurrentItem.A > 1", "on the right"),
    ("EXCLUDE ItemID WHERE Items.A = 1 IF ^Items.B = 1", "only the current user"),
    ("EXCLUDE ItemID WHERE Items.A = 1 IF CurrentUser.B = ^CurrentItem.A", "cannot be used after IF"),
    (
        "EXCLUDE ItemID WHERE Items.A = 1 IF CurrentUser.B = 1 ^OR CurrentUser.B = 2",
        "only be joined with AND",
    ),
    ("EXCLUDE ItemID WHERE Items.A = 1 IF CurrentUser.B = 1 ^IF CurrentUser.B = 2", "one IF"),
    (
        (
            "EXCLUDE ItemID WHERE Items.A = 1 AND Items.B = 1 AND Items.C = CurrentItem.A "
            "IF CurrentUser.A = 1 | EXCLUDE ItemID WHERE Items.a = 2 OR Items.D = 1 OR ^Items.E = 1"
        ),
        "at most 5 different fields",
    ),
]


@pytest.mark.parametrize(("marked", "reason"), MALFORMED, ids=[marked for marked, _ in MALFORMED])
def test_a_malformed_expression_is_explained_at_its_place(marked: str, reason: str) -> None:
    offset = marked.index("^")
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(marked.replace("^", ""))
    assert reason in caught.value.reason
    assert (caught.value.line, caught.value.column, caught.value.offset) == (1, offset + 1, offset)


def test_the_message_shows_line_and_caret() -> None:
    text = 'EXCLUDE ItemID\nWHERE\tItems.PRICE > "x"\nIF CurrentUser.AGE > 1'
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)
    assert str(caught.value) == (
        'line 2, column 21: this compares numbers; text is compared with IN ("...") or NOT IN ("...")\n'
        '  WHERE Items.PRICE > "x"\n'
        "                      ^"
    )


def test_of_a_long_line_only_the_part_around_the_caret_is_shown() -> None:
    listed = ", ".join(f'"category {n}"' for n in range(100))
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(f"EXCLUDE ItemID WHERE Items.CATEGORY IN ({listed} {listed})")
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 100
    assert shown.startswith("  ...")
    assert shown.endswith("...")
    assert shown[caret.index("^") :].startswith('"category 0"')


VALID = [
    'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase", $TYPE)',
    'INCLUDE ItemID WHERE Items.A IN ("\\"", "\\\\") AND Items.B != -.5 OR Items.C > $C IF CurrentUser.D < 2',
    'EXCLUDE ItemID WHERE Items.A NOT IN ("x") | INCLUDE ItemID WHERE Items.B <= CurrentItem.B',
    "EXCLUDE ItemID WHERE Items.A IN CurrentItem.A",
]
PIECES = [
    *(
        "EXCLUDE",
        "INCLUDE",
        "ItemID",
        "WHERE",
        "Items.PRICE",
        "Interactions.EVENT_TYPE",
        "CurrentUser.AGE",
        "IF",
    ),
    *(
        "CurrentItem.PRICE",
        "AND",
        "OR",
        "IN",
        "NOT IN",
        "NOT",
        "(",
        ")",
        ",",
        "|",
        "=",
        "<",
        ">=",
        '"a"',
        '"*"',
        '"',
    ),
    *("1", "-.5", "1e9", "$A", "$", ".", "\\", "\n", "\0", "'", "\u201c", "\u00e9", "\ud800"),
]


@st.composite
def mutated(draw: DrawFn) -> str:
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 8)))
        text = text[:start] + draw(st.sampled_from(["", *PIECES]) | st.text(max_size=3)) + text[end:]
    return text


@given(st.text() | st.lists(st.sampled_from(PIECES)).map(" ".join) | mutated())
@example("\n")
@example('EXCLUDE ItemID WHERE Items.A IN ("\\')
def test_any_text_gives_a_filter_or_an_explanation_with_a_place_in_it(text: str) -> None:
    try:
        parsed = parse_filter(text)
    except FilterSyntaxError as error:
        explained = error
    else:
        assert parse_filter(str(parsed)) == parsed
        return
    lines = text.split("\n")
    assert explained.offset <= len(text)
    assert 1 <= explained.line <= len(lines)
    assert 1 <= explained.column <= len(lines[explained.line - 1]) + 1
    assert str(explained).startswith(f"line {explained.line}, column {explained.column}: {explained.reason}")


@pytest.mark.processes
def test_importing_the_filters_does_not_import_the_parser_library() -> None:
    script = "import sys, service.filters; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
