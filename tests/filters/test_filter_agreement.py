"""The filters against a second evaluator, written here without a look at the first.

Expressions are made as small trees of their own, rendered to text, and evaluated by plain recursion.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from service.filters import Filter, FilterValueError, Value, compile_item_exclusion, evaluate, parse_filter


class Param(NamedTuple):
    name: str


class Current(NamedTuple):
    field: str


class Cond(NamedTuple):
    dataset: str
    field: str
    op: str
    right: float | Param | Current | Sequence[str | Param]


class Expr(NamedTuple):
    action: str
    any_of: Sequence[Sequence[Cond]]
    only_if: Sequence[Cond] = ()


class World(NamedTuple):
    items: Mapping[str, Mapping[str, Value]]
    user: Mapping[str, Value]
    interactions: Sequence[tuple[str, str]]
    current_item: Mapping[str, Value]
    values: Mapping[str, Sequence[str]]


class NoAnswerError(Exception):
    """Personalize would refuse the values."""


# The naive evaluator


def naive_selection(chain: Sequence[Expr], world: World) -> set[str]:
    included: set[str] = set()
    excluded: set[str] = set()
    any_include = False
    usable = [expression for expression in chain if naive_has_values(expression, world)]
    for expression in usable:
        for cond in naive_conditions(expression):
            if isinstance(cond.right, Param):
                naive_limit(cond, world)
    for expression in usable:
        if not all(naive_match(cond, [world.user.get(cond.field)], world) for cond in expression.only_if):
            continue
        selected = {i for i in world.items if naive_where(expression, i, world)}
        if expression.action == "INCLUDE":
            any_include = True
            included |= selected
        else:
            excluded |= selected
    return (included if any_include else set(world.items)) - excluded


def naive_conditions(expression: Expr) -> list[Cond]:
    return [cond for group in [*expression.any_of, expression.only_if] for cond in group]


def naive_has_values(expression: Expr, world: World) -> bool:
    for cond in naive_conditions(expression):
        rights = cond.right if isinstance(cond.right, list) else [cond.right]
        for right in rights:
            if isinstance(right, Param) and not world.values.get(right.name):
                if expression.action == "INCLUDE":
                    raise NoAnswerError
                return False
    return True


def naive_where(expression: Expr, item: str, world: World) -> bool:
    for group in expression.any_of:
        verdicts = []
        for cond in group:
            if cond.dataset == "Interactions":
                kinds = naive_event_types(item, world)
                verdicts.append(naive_match(cond, [kind.lower() for kind in kinds], world))
            else:
                verdicts.append(naive_match(cond, [world.items[item].get(cond.field)], world))
        if False not in verdicts:
            return True
    return False


def naive_event_types(item: str, world: World) -> list[str]:
    kinds = []
    for kind in {event_type.lower() for _, event_type in world.interactions}:
        of_kind = [item_id for item_id, event_type in world.interactions if event_type.lower() == kind]
        if item in of_kind[-100:]:
            kinds.append(kind)
    return kinds


def naive_match(cond: Cond, values: Sequence[Value], world: World) -> bool:
    if cond.op in {"IN", "NOT IN"}:
        texts = [text for value in values for text in naive_texts(value)]
        wanted = naive_wanted(cond, world)
        if not texts or not wanted:
            return False
        if cond.dataset == "Interactions":
            wanted = [text.lower() for text in wanted]
            hit = "*" in wanted or any(text in wanted for text in texts)
        else:
            hit = any(text in wanted for text in texts)
        return hit if cond.op == "IN" else not hit
    number, limit = naive_number(values[0]), naive_limit(cond, world)
    if number is None or limit is None:
        return False
    return {
        "=": number == limit,
        "!=": number != limit,
        "<": number < limit,
        "<=": number <= limit,
        ">": number > limit,
        ">=": number >= limit,
    }[cond.op]


def naive_wanted(cond: Cond, world: World) -> list[str]:
    if isinstance(cond.right, Current):
        return naive_texts(world.current_item.get(cond.right.field))
    assert isinstance(cond.right, list)
    wanted: list[str] = []
    for right in cond.right:
        wanted.extend(world.values[right.name] if isinstance(right, Param) else [right])
    return wanted


def naive_limit(cond: Cond, world: World) -> float | None:
    if isinstance(cond.right, Current):
        return naive_number(world.current_item.get(cond.right.field))
    if isinstance(cond.right, Param):
        values = world.values[cond.right.name]
        number = naive_number(values[0]) if len(values) == 1 else None
        if number is None:
            raise NoAnswerError
        return number
    assert isinstance(cond.right, float)
    return cond.right


def naive_number(value: Value) -> float | None:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value.strip()):
        return None
    if value is None or (isinstance(value, int) and abs(value) > 10**300):
        return None
    number = float(value)
    return number if isfinite(number) else None


def naive_texts(value: Value) -> list[str]:
    match value:
        case None:
            return []
        case True:
            return ["True", "true"]
        case False:
            return ["False", "false"]
        case float() if not isfinite(value):
            return []
        case float() if value % 1 == 0:
            return [f"{value:.0f}".replace("-0", "0") if value == 0 else f"{value:.0f}"]
        case _:
            return [text for text in str(value).split("|") if text != ""]


# Rendering, with the freedom the language gives


def rendered(chain: Sequence[Expr]) -> str:
    return " | ".join(rendered_expression(expression) for expression in chain)


def rendered_expression(expression: Expr) -> str:
    where = " OR ".join(rendered_group(group) for group in expression.any_of)
    only_if = f" IF {rendered_group(expression.only_if)}" if expression.only_if else ""
    return f"{expression.action} ItemID WHERE {where}{only_if}"


def rendered_group(group: Sequence[Cond]) -> str:
    return " AND ".join(f"{cond.dataset}.{cond.field} {cond.op} {rendered_right(cond.right)}" for cond in group)


def rendered_right(right: float | Param | Current | Sequence[str | Param]) -> str:
    if isinstance(right, Param):
        return f"${right.name}"
    if isinstance(right, Current):
        return f"CurrentItem.{right.field}"
    if isinstance(right, float):
        return repr(right)
    return "(" + ", ".join(f"${r.name}" if isinstance(r, Param) else rendered_text(r) for r in right) + ")"


def rendered_text(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def rendered_values(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {
        name: ",".join(text if re.fullmatch(r"[\w.]+", text) else rendered_text(text) for text in texts)
        for name, texts in values.items()
    }


# Strategies

WORDS = [
    "beauty",
    "Beauty",
    "garden",
    "watch",
    "5",
    "5.0",
    "True",
    "true",
    'say "hi"',
    "a\\b",
    "c:\\",
    "",
    "x, y",
]

texts = st.sampled_from(WORDS) | st.text(max_size=5).filter(lambda text: text != "*")
event_types = st.sampled_from(["click", "Click", "purchase", "view"])
numbers = st.sampled_from([0.0, 5.0, 4.99, -1.0, 1e22, 1.0]) | st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(["A", "B_2", "min"])
cells: SearchStrategy[Value] = (
    st.sampled_from(
        [
            *(
                None,
                "",
                "|",
                "beauty|garden",
                "beauty",
                "a|",
                "|5",
                "5",
                "5.0",
                "4.99",
                " 5 ",
                "1_000",
                "\uff15",
            ),
            *(
                "nan",
                "inf",
                "1e999",
                "-1",
                "+5",
                ".5",
                "5.",
                5,
                1,
                0,
                10**400,
                5.0,
                4.99,
                1e22,
                -0.0,
                True,
                False,
            ),
            *(float("nan"), float("inf")),
        ]
    )
    | st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("|".join)
    | st.text(max_size=4)
    | st.floats()
)


def item_conditions(*, catalogue_only: bool = False) -> SearchStrategy[Cond]:
    current = [] if catalogue_only else [st.builds(Current, st.sampled_from(["PRICE", "GENRE"]))]
    # Made once: to make a strategy anew for each condition takes longer than all that is drawn.
    return st.one_of(*(conditions("Items", field, texts, current) for field in ("PRICE", "CATEGORY", "GENRE")))


def conditions(
    dataset: str, field: str, words: SearchStrategy[str], further: Sequence[SearchStrategy[Current]] = ()
) -> SearchStrategy[Cond]:
    params = st.builds(Param, names)
    listed: SearchStrategy[Any] = st.lists(words | params, min_size=1, max_size=3)
    plain: SearchStrategy[Any] = st.lists(words, min_size=1, max_size=3)
    limits: SearchStrategy[Any] = numbers | params
    operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    memberships = st.builds(Cond, st.just(dataset), st.just(field), st.just("IN"), st.one_of(listed, *further))
    absences = st.builds(Cond, st.just(dataset), st.just(field), st.just("NOT IN"), st.one_of(plain, *further))
    comparisons = st.builds(Cond, st.just(dataset), st.just(field), operators, st.one_of(limits, *further))
    return memberships | absences if dataset == "Interactions" else memberships | absences | comparisons


def chains(*, catalogue_only: bool = False) -> SearchStrategy[list[Expr]]:
    actions = st.sampled_from(["INCLUDE", "EXCLUDE"])
    wheres = groups(item_conditions(catalogue_only=catalogue_only))
    if catalogue_only:
        return st.lists(st.builds(Expr, actions, wheres, st.just([])), min_size=1, max_size=3)
    wheres |= groups(conditions("Interactions", "EVENT_TYPE", event_types | st.just("*")))
    users = st.lists(conditions("CurrentUser", "AGE", texts), max_size=2)
    return st.lists(st.builds(Expr, actions, wheres, users), min_size=1, max_size=3)


def groups(of: SearchStrategy[Cond]) -> SearchStrategy[list[list[Cond]]]:
    return st.lists(st.lists(of, min_size=1, max_size=3), min_size=1, max_size=2)


rows = st.fixed_dictionaries({"PRICE": cells, "CATEGORY": cells}, optional={"GENRE": cells})
values = st.dictionaries(
    names, st.lists(texts | st.sampled_from(["5", "click", "4.99"]), max_size=2), min_size=2, max_size=3
)
worlds = st.builds(
    World,
    st.lists(rows, min_size=1, max_size=6).map(lambda listed: {f"i{n}": row for n, row in enumerate(listed)}),
    st.fixed_dictionaries({}, optional={"AGE": cells}),
    st.lists(st.tuples(st.sampled_from(["i0", "i1", "i2", "i9"]), event_types), max_size=6),
    rows,
    values,
)


# The comparison


def product_selection(parsed: Filter, world: World) -> set[str]:
    passes = evaluate(
        parsed,
        items=world.items,
        user=world.user,
        interactions=world.interactions,
        current_item=world.current_item,
        values=rendered_values(world.values),
    )
    return {item_id for item_id in world.items if passes(item_id)}


@given(chains(), worlds)
def test_any_expression_selects_what_the_naive_evaluator_selects(chain: list[Expr], world: World) -> None:
    parsed = parse_filter(rendered(chain))
    try:
        expected = naive_selection(chain, world)
    except NoAnswerError:
        with pytest.raises(FilterValueError):
            product_selection(parsed, world)
    else:
        assert product_selection(parsed, world) == expected


@given(chains(catalogue_only=True), worlds)
def test_any_exclusion_shows_what_the_naive_evaluator_selects(chain: list[Expr], world: World) -> None:
    parsed = parse_filter(rendered(chain))
    columns = ["id", "price", "Category", "GENRE"]
    by_name = compile_item_exclusion(parsed, columns)
    by_position = compile_item_exclusion(parsed, columns, rows="sequence")
    given_values = rendered_values(world.values)
    try:
        expected = naive_selection(chain, world)
    except NoAnswerError:
        with pytest.raises(FilterValueError):
            by_name.bind(given_values)
        return
    shows, shows_tuple = by_name.bind(given_values), by_position.bind(given_values)
    assert by_name.is_static is (not by_name.placeholders)
    for item_id, row in world.items.items():
        cells_of = (item_id, row["PRICE"], row["CATEGORY"], row.get("GENRE"))
        assert shows(dict(zip(columns, cells_of, strict=True))) is (item_id in expected)
        assert shows_tuple(cells_of) is (item_id in expected)


@given(chains())
def test_a_tree_printed_and_parsed_is_the_same_tree(chain: list[Expr]) -> None:
    parsed = parse_filter(rendered(chain))
    assert parse_filter(str(parsed)) == parsed
    assert str(parse_filter(str(parsed))) == str(parsed)


# The examples of the reference and of Amazon's own pages


def items(field: str, op: str, right: float | Param | Current | Sequence[str | Param]) -> Cond:
    return Cond("Items", field, op, right)


def events(*event_types: str | Param) -> list[list[Cond]]:
    return [[Cond("Interactions", "EVENT_TYPE", "IN", list(event_types))]]


def user(field: str, op: str, right: float | Param) -> Cond:
    return Cond("CurrentUser", field, op, right)


EXAMPLES = [
    ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase")', [Expr("EXCLUDE", events("Purchase"))]),
    (
        "INCLUDE ItemID WHERE Items.PRICE <= $PRICE",
        [Expr("INCLUDE", [[items("PRICE", "<=", Param("PRICE"))]])],
    ),
    (
        ('INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") AND Items.STYLE IN ("luxury") IF CurrentUser.AGE > 18'),
        [
            Expr(
                "INCLUDE",
                [[items("CATEGORY", "IN", ["watch"]), items("STYLE", "IN", ["luxury"])]],
                [user("AGE", ">", 18.0)],
            )
        ],
    ),
    (
        (
            "INCLUDE ItemID WHERE Items.GENRE IN ($GENRE) | "
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")'
        ),
        [
            Expr("INCLUDE", [[items("GENRE", "IN", [Param("GENRE")])]]),
            Expr("EXCLUDE", events("click", "stream")),
        ],
    ),
    (
        'EXCLUDE ItemID WHERE Items.CATEGORY IN ("beauty") | EXCLUDE ItemID WHERE Items.PRICE > 100',
        [
            Expr("EXCLUDE", [[items("CATEGORY", "IN", ["beauty"])]]),
            Expr("EXCLUDE", [[items("PRICE", ">", 100.0)]]),
        ],
    ),
    ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', [Expr("INCLUDE", events("*"))]),
    ('EXCLUDE itemId WHERE INTERACTIONS.event_type in ("CLICK")', [Expr("EXCLUDE", events("CLICK"))]),
    (
        "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($EVENT_TYPE)",
        [Expr("EXCLUDE", events(Param("EVENT_TYPE")))],
    ),
    (
        "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE",
        [Expr("INCLUDE", [[items("PRICE", "<", Current("PRICE")), items("GENRE", "IN", Current("GENRE"))]])],
    ),
    (
        'EXCLUDE ItemID WHERE Items.CATEGORY IN ("shoe") AND Items.STYLE NOT IN ("boot")',
        [Expr("EXCLUDE", [[items("CATEGORY", "IN", ["shoe"]), items("STYLE", "NOT IN", ["boot"])]])],
    ),
    (
        "EXCLUDE ItemID WHERE Items.PRICE < 20 IF CurrentUser.AGE > 18 AND CurrentUser.AGE < 30",
        [Expr("EXCLUDE", [[items("PRICE", "<", 20.0)]], [user("AGE", ">", 18.0), user("AGE", "<", 30.0)])],
    ),
    (
        "EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE",
        [Expr("EXCLUDE", [[items("GENRE", "IN", [Param("GENRE")])]], [user("AGE", "=", Param("AGE"))])],
    ),
    (
        "INCLUDE ItemID WHERE Items.PRICE > ($PRICE)",
        [Expr("INCLUDE", [[items("PRICE", ">", Param("PRICE"))]])],
    ),
    (
        (
            "INCLUDE ItemID WHERE Items.CATEGORY IN ($CATEGORY) | "
            'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("stream")'
        ),
        [
            Expr("INCLUDE", [[items("CATEGORY", "IN", [Param("CATEGORY")])]]),
            Expr("INCLUDE", events("stream")),
        ],
    ),
]

SHOP = {
    f"{category}-{style}-{price}": {"CATEGORY": category, "STYLE": style, "GENRE": style, "PRICE": price}
    for category in ("watch", "shoe", "beauty", "shoe|watch", None)
    for style in ("luxury", "boot", "boot|luxury", "")
    for price in ("12", 19.99, 20, 250.0, None)
}
CLICKS = [
    (item_id, event_type) for item_id, event_type in zip(SHOP, ["Click", "purchase", "stream"] * 20, strict=False)
]
PARAMETERS = {
    "PRICE": ["20"],
    "GENRE": ["boot"],
    "EVENT_TYPE": ["stream", "CLICK"],
    "AGE": ["25"],
    "CATEGORY": ["shoe"],
}


@pytest.mark.parametrize("age", [None, 12, 25, "40"])
@pytest.mark.parametrize(("text", "chain"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_the_examples_of_the_reference_select_what_the_naive_evaluator_selects(
    text: str, chain: list[Expr], age: Value
) -> None:
    current_item: dict[str, Value] = {"PRICE": 100, "GENRE": "luxury"}
    world = World(SHOP, {"AGE": age}, CLICKS, current_item, PARAMETERS)
    selected = product_selection(parse_filter(text), world)
    assert selected == naive_selection(chain, world)
    assert selected < set(SHOP) or "IF" in text


@pytest.mark.parametrize("text", [text for text, _ in EXAMPLES])
def test_the_examples_of_the_reference_print_to_an_equal_expression(text: str) -> None:
    assert parse_filter(str(parse_filter(text))) == parse_filter(text)
