"""From the text of a filter to its tree.

Importing this module imports lark; the grammar is built at the first parse.
"""

import re
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import NoReturn, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from service.filters.errors import FilterSyntaxError
from service.filters.model import (
    Action,
    Comparison,
    Condition,
    Dataset,
    Expression,
    Field,
    Filter,
    Membership,
    Operator,
    Placeholder,
)
from service.filters.values import unescape

MAX_DISTINCT_FIELDS = 5
"""Distinct fields in one filter, chained expressions included.

Source: https://docs.aws.amazon.com/personalize/latest/dg/filter-expression-guidelines-requirements.html
"""

MAX_PLACEHOLDER_CHARS = 50
"""Length of a placeholder's name, from the key of ``filterValues`` in the SDK's model."""

_EVENT_TYPE = "EVENT_TYPE"

_WORDS = {
    "ACTION": "EXCLUDE or INCLUDE",
    "ITEM_ID": "ItemID",
    "WHERE": "WHERE",
    "DATASET": "a dataset and field such as Items.PRICE",
    "DOT": 'a "." and a field name',
    "FIELD": "a field name",
    "QUOTED": 'one in double quotes such as "My Column"',
    "IN": "IN",
    "NOT_IN": "NOT IN",
    "COMPARISON": "one of = != < <= > >=",
    "NUMBER": "a number",
    "STRING": 'text in double quotes such as "beauty"',
    "PLACEHOLDER": "a placeholder such as $NAME",
    "CURRENT_ITEM": "CurrentItem.FIELD",
    "LPAR": '"("',
    "COMMA": '","',
    "RPAR": '")"',
    "AND": "AND",
    "OR": "OR",
    "IF": "IF",
    "VBAR": '"|" and a further expression',
    "$END": "the end",
}
"""What each terminal of the grammar is called in a message; the order is that of the message."""

_HINTS = (
    ("ITEM_ID", r"(?:ActionID|UserID)\b", "only items can be filtered here"),
    ("DATASET", r"\(", "conditions cannot be put in parentheses; AND binds tighter than OR"),
    ("QUOTED", r'"(?!")', "the name that begins here has no closing double quote"),
    ("STRING", r'"', "the text that begins here has no closing double quote"),
    ("STRING", r"['\u2018-\u201f]", 'text stands in straight double quotes: "'),
    ("STRING", r"[-+]?\.?[0-9]", "IN compares text: put the number in double quotes, or compare it with ="),
    (
        "NUMBER",
        r"['\u2018-\u201f]",
        'this compares numbers; text is compared with IN ("...") or NOT IN ("...")',
    ),
    (
        "NUMBER",
        r"(?:true|false)\b",
        'there are no true and false; compare text with IN ("True"), or use 0 and 1',
    ),
    ("NUMBER", r"(?<==)[ \t]*=", "a single = compares"),
    ("NUMBER", r"(?<=<)>", "different from is written !="),
    ("NUMBER", r"(?<==)[<>]", "write <= and >="),
    ("CURRENT_ITEM", r"CurrentUser\b", "the current user can only be asked about after IF, on the left"),
    (
        "CURRENT_ITEM",
        r"[^\W\d]\w*\s*\.",
        "a field can be compared with CurrentItem.FIELD, with no other field",
    ),
    ("VBAR", r"OR\b", "conditions after IF can only be joined with AND"),
    ("VBAR", r"IF\b", "an expression has one IF; join its conditions with AND"),
    ("IN", r"LIKE\b|CONTAINS\b", "only exact text can be compared, with IN and NOT IN"),
)
"""The mistakes people make: a terminal that would have been right, what stands there instead, what to say."""

_NEXT_WORD = re.compile(r'"[^"]{0,40}"?|\w{1,40}|\S')


def parse(text: str) -> Filter:
    r"""The tree of a filter written in Amazon Personalize's language.

    ``AND`` binds tighter than ``OR``: ``a OR b AND c`` is ``a OR (b AND c)``, and there are no parentheses to
    say otherwise (Amazon documents neither). In text, a double quote is written ``\"`` and a backslash
    before a quote or another backslash is doubled. A field may stand in double quotes, too, which Amazon's may not:
    ``Items."My Column"``. Keywords, dataset names and ``EVENT_TYPE`` are read in any
    case; the case of text, fields and placeholders is kept.

    Refused as Amazon refuses it: a placeholder after ``NOT IN`` (exclude with ``IN`` instead of including
    with ``NOT IN``), ``"*"`` for anything but the event type, and ``OR`` after ``IF``.

    Raises:
        FilterSyntaxError: With the place, and in plain words what was expected.
    """
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    return _Builder(text).filter(tree)


@lru_cache(maxsize=1)
def _grammar() -> Lark:
    return Lark(Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"), parser="lalr")


def _explained(error: UnexpectedInput, text: str) -> FilterSyntaxError:
    # The terminals on the error itself are those before the last condition was complete, which are too many.
    accepted: set[str] = error.interactive_parser.accepts()  # type: ignore[no-untyped-call]  # lark leaves it so
    offset = _offset_of(error, text)
    for terminal, pattern, hint in _HINTS:
        if terminal in accepted and re.compile(pattern, re.IGNORECASE).match(text, offset):
            return FilterSyntaxError(hint, text, offset)
    found = _NEXT_WORD.match(text, offset)
    expected = _either([words for terminal, words in _WORDS.items() if terminal in accepted])
    here = found[0] if found else "the end"
    return FilterSyntaxError(f"expected {expected}, found {here}", text, offset)


def _offset_of(error: UnexpectedInput, text: str) -> int:
    # lark places the end of the text at the last token.
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return len(text.rstrip())
    return cast("int", error.pos_in_stream)


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class _Builder:
    """Turns lark's tree into ours and refuses what the grammar cannot tell."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._distinct_fields: set[tuple[Dataset, str]] = set()

    def filter(self, tree: Tree[Token]) -> Filter:
        return Filter(tuple(self._expression(child) for child in _trees(tree)), text=self._text)

    def _expression(self, tree: Tree[Token]) -> Expression:
        action = Action(cast("Token", tree.children[0]).upper())
        any_of, *if_clause = _trees(tree)
        where = tuple(self._all_of(all_of) for all_of in _trees(any_of))
        self._check_one_dataset(where)
        only_if = tuple(c for clause in if_clause for all_of in _trees(clause) for c in self._all_of(all_of))
        for condition in only_if:
            self._check_about_user(condition)
        return Expression(action, where, only_if)

    def _all_of(self, tree: Tree[Token]) -> tuple[Condition, ...]:
        return tuple(
            self._membership(child) if child.data == "membership" else self._comparison(child) for child in _trees(tree)
        )

    def _membership(self, tree: Tree[Token]) -> Membership:
        field_tree, listed = _trees(tree)
        field = self._field(field_tree)
        negated = cast("Token", tree.children[1]).type == "NOT_IN"
        if listed.data == "current_item":
            return Membership(field, self._field(listed), negated=negated)
        members = tuple(self._member(token, field, negated=negated) for token in _tokens(listed))
        return Membership(field, members, negated=negated)

    def _member(self, token: Token, field: Field, *, negated: bool) -> str | Placeholder:
        if token.type == "PLACEHOLDER":
            if negated:
                self._refuse("no placeholder can follow NOT IN; use IN and swap EXCLUDE and INCLUDE", token)
            return self._placeholder(token)
        text = unescape(token[1:-1])
        if text == "*" and field.dataset is not Dataset.INTERACTIONS:
            self._refuse(f'"*" means any event type; it says nothing about {field}', token)
        return text

    def _comparison(self, tree: Tree[Token]) -> Condition:
        field_tree, *current_item = _trees(tree)
        operator, *value = _tokens(tree)
        field = self._field(field_tree)
        if field.dataset is Dataset.INTERACTIONS:
            self._refuse('event types are compared with IN ("...") or NOT IN ("...")', operator)
        if value and value[0].type == "STRING":
            return self._equal_text(field, operator, value[0])
        given = self._field(current_item[0]) if current_item else self._number_or_placeholder(value[0])
        return Comparison(field, Operator(operator.value), given)

    def _equal_text(self, field: Field, operator: Token, token: Token) -> Membership:
        """`=` and `!=` with text, as people write them: what IN and NOT IN say of a list of one."""
        if operator.value not in ("=", "!="):
            self._refuse('this compares numbers; text is compared with IN ("...") or NOT IN ("...")', token)
        negated = operator.value == "!="
        return Membership(field, (self._member(token, field, negated=negated),), negated=negated)

    def _number_or_placeholder(self, token: Token) -> float | Placeholder:
        if token.type == "PLACEHOLDER":
            return self._placeholder(token)
        number = float(token)
        if not isfinite(number):
            self._refuse("this number is too large", token)
        return number

    def _placeholder(self, token: Token) -> Placeholder:
        name = token[1:]
        if len(name) > MAX_PLACEHOLDER_CHARS:
            self._refuse(f"a placeholder's name has at most {MAX_PLACEHOLDER_CHARS} characters", token)
        return Placeholder(name)

    def _field(self, tree: Tree[Token]) -> Field:
        dataset_token, name_token = _tokens(tree)
        dataset = _DATASETS.get(dataset_token.casefold())
        if dataset is None:
            self._refuse(f"there is no dataset {dataset_token}; there are {_either(list(Dataset))}", dataset_token)
        name = unescape(name_token[1:-1]) if name_token.type == "QUOTED" else str(name_token)
        if dataset is Dataset.INTERACTIONS:
            if name.upper() != _EVENT_TYPE:
                self._refuse("of the interactions only EVENT_TYPE can be asked for", name_token)
            name = _EVENT_TYPE
        self._count(dataset, name, dataset_token)
        return Field(dataset, name, offset=_start(dataset_token))

    def _count(self, dataset: Dataset, name: str, token: Token) -> None:
        owner = Dataset.ITEMS if dataset is Dataset.CURRENT_ITEM else dataset
        self._distinct_fields.add((owner, name.upper()))
        if len(self._distinct_fields) > MAX_DISTINCT_FIELDS:
            self._refuse(f"a filter can use at most {MAX_DISTINCT_FIELDS} different fields", token)

    def _check_one_dataset(self, where: tuple[tuple[Condition, ...], ...]) -> None:
        conditions = [condition for group in where for condition in group]
        first = conditions[0].field.dataset
        for condition in conditions:
            field = condition.field
            if field.dataset is Dataset.CURRENT_USER:
                self._refuse("the current user can only be asked about after IF", field)
            if field.dataset is Dataset.CURRENT_ITEM:
                self._refuse("CurrentItem can only stand on the right, as in Items.PRICE < CurrentItem.PRICE", field)
            if field.dataset is not first:
                self._refuse(
                    f'this expression is about {first}; for {field.dataset} chain a further one with "|"',
                    field,
                )
            other = _right_field(condition)
            if other and first is not Dataset.ITEMS:
                self._refuse("CurrentItem can only be compared with fields of Items", other)

    def _check_about_user(self, condition: Condition) -> None:
        if condition.field.dataset is not Dataset.CURRENT_USER:
            self._refuse("only the current user can be asked about after IF, as in CurrentUser.AGE", condition.field)
        other = _right_field(condition)
        if other:
            self._refuse("CurrentItem cannot be used after IF", other)

    def _refuse(self, reason: str, at: Token | Field) -> NoReturn:
        raise FilterSyntaxError(reason, self._text, at.offset if isinstance(at, Field) else _start(at))


_DATASETS = {dataset.casefold(): dataset for dataset in Dataset}


def _right_field(condition: Condition) -> Field | None:
    right = condition.members if isinstance(condition, Membership) else condition.value
    return right if isinstance(right, Field) else None


def _trees(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: Tree[Token]) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]


def _start(token: Token) -> int:
    return cast("int", token.start_pos)
