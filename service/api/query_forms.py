"""Queries that differ in their user only: what they have in common is parsed once.

A template asks for a hundred thousand users in the same words. What stands before and behind the user's id names the
form of the query; placement, number of items, keys and headers follow from it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from service.answers.arm import Arm
from service.answers.placement import Placement, Placements
from service.api.escapes import StrayPercents, text_of
from service.api.headers import head_of_hits
from service.api.query import parse_query
from service.constants import MAX_ID_CHARACTERS
from service.errors import InvalidQuery
from service.lists.keys import UserKey
from service.lists.numbers import GivenItems
from service.models import Answer, RecommendationQuery, RequestKind
from service.telemetry import Hit

MAX_FORMS: Final = 2_000
"""Forms that are kept; some kilobytes each. With more, all are made anew."""

MAX_ONCE: Final = 20_000
"""Queries that were seen once: what does not come again has no form."""

MAX_FORM_BYTES: Final = 2_048
"""Longer queries exclude or rank many items, and seldom come again."""

_USER: Final = re.compile(rb"(?:user_id|userID|userId)=([A-Za-z0-9_.~@:%+-]{1,800})(?=&|$)")
_USER_BEGINS: Final = b"user"
_AMPERSAND: Final = ord("&")
_PLAIN: Final = re.compile(rb"[A-Za-z0-9_.~@:&=,%+-]*")


@dataclass(frozen=True, slots=True, eq=False)
class ArmForm:
    """What an arm makes of a form."""

    arm: Arm
    key_of: Callable[[str], UserKey | None]
    """Of the list that answers a user; None where there is none to ask for."""
    is_plain: bool
    """Whether the answer is a join of ready items, as far as the query says."""
    head: bytes
    """The headers of its hits; see `head_of_hits`."""
    counted: Hit
    """What telemetry counts of an answer that shows all it looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryForm:
    """What queries that differ in their user only have in common."""

    query: RecommendationQuery
    """With a user of no meaning."""
    placement: Placement
    arms: tuple[ArmForm, ...]
    """In the order of the placement's own."""
    given: GivenItems | None
    """The items to rank; None where none are."""


class QueryForms:
    """The forms that come again.

    Args:
        placements: Those that answer.
    """

    def __init__(self, placements: Placements) -> None:
        self._placements = placements
        self._forms: dict[tuple[RequestKind, bytes, bytes], QueryForm] = {}
        self._latest: dict[RequestKind, tuple[bytes, bytes, QueryForm]] = {}
        """Of each kind what stands before and behind the user in the latest query that had a form, and that form."""
        # Hashes only: a query without a form may name its user.
        self._once: set[int] = set()
        self._formless: set[int] = set()

    def find(self, kind: RequestKind, query_string: bytes) -> tuple[QueryForm, str] | None:
        """The form of a query, and its user; None for one that is to be parsed as a whole."""
        latest = self._latest.get(kind)
        if latest is not None:
            before, behind, form = latest
            if query_string.startswith(before) and query_string.endswith(behind):
                written = query_string[len(before) : len(query_string) - len(behind)]
                # Such an id stands for itself, and all that could be another begins before it or behind it.
                if written.replace(b"-", b"0").isalnum() and len(written) <= MAX_ID_CHARACTERS:
                    return form, written.decode()
        return self._found(kind, query_string)

    def _found(self, kind: RequestKind, query_string: bytes) -> tuple[QueryForm, str] | None:
        user = _user_in(query_string)
        if user is None:
            key, user_id = (kind, query_string, b""), ""
        else:
            user_id = _text(user[1])
            if not user_id:
                return None
            start, end = user.span(1)
            key = (kind, query_string[:start], query_string[end:])
        form = self._forms.get(key)
        if form is not None:
            if user_id:
                self._latest[kind] = key[1], key[2], form
            return form, user_id
        if len(query_string) <= MAX_FORM_BYTES and self._comes_again(key):
            form = self._made(key, has_user=user is not None)
            if form is not None:
                if len(self._forms) >= MAX_FORMS:
                    self._forms.clear()
                self._forms[key] = form
                return form, user_id
            _add(self._formless, hash(key))
        return None

    def _comes_again(self, key: tuple[RequestKind, bytes, bytes]) -> bool:
        """Whether it was asked before, and may have a form."""
        mark = hash(key)
        if mark in self._once:
            return mark not in self._formless
        _add(self._once, mark)
        return False

    def _made(self, key: tuple[RequestKind, bytes, bytes], *, has_user: bool) -> QueryForm | None:
        kind, before, behind = key
        if not (_PLAIN.fullmatch(before) and _PLAIN.fullmatch(behind)):
            return None
        users = ("0", "1") if has_user else ("", "")
        try:
            query, other = (parse_query(before + user.encode() + behind, kind) for user in users)
            placement = self._placements.of(query)
        except InvalidQuery:
            return None
        if (query.user_id, other.user_id) != users or replace(other, user_id=query.user_id) != query:
            # Another parameter names the user too.
            return None
        if not query.names_item or (not query.item_id and placement.finds_items):
            return None
        given = GivenItems(query.item_ids) if query.item_ids else None
        return QueryForm(query, placement, tuple(_of_arm(arm, query, placement) for arm in placement.arms), given)


def _user_in(query_string: bytes) -> re.Match[bytes] | None:
    """The first parameter that names the user; a search for bytes is twenty times as fast as one for a pattern."""
    at = query_string.find(_USER_BEGINS)
    while at >= 0:
        if not at or query_string[at - 1] == _AMPERSAND:
            found = _USER.match(query_string, at)
            if found is not None:
                return found
        at = query_string.find(_USER_BEGINS, at + 1)
    return None


def _text(written: bytes) -> str:
    """The id that this stands for; empty for none, and for what has to be refused."""
    if b"%" not in written and b"+" not in written:
        return written.decode() if len(written) <= MAX_ID_CHARACTERS else ""
    try:
        text = text_of(written)
    except (UnicodeDecodeError, StrayPercents):
        return ""
    return text.strip() if len(text) <= MAX_ID_CHARACTERS else ""


def _add(marks: set[int], mark: int) -> None:
    if len(marks) >= MAX_ONCE:
        marks.clear()
    marks.add(mark)


def _of_arm(arm: Arm, query: RecommendationQuery, placement: Placement) -> ArmForm:
    variant = arm.assembly.variant
    answer = Answer(b"", "cache", None, "", 0, placement=placement.name, variant=variant)
    said = RecommendationQuery(
        query.user_id,
        query.num_results,
        filter_values=query.filter_values,
        kind=query.kind,
        placement=query.placement,
        item_id=query.item_id,
        item_ids=query.item_ids,
        context=query.context,
    )
    return ArmForm(
        arm,
        arm.maker_of_keys(query),
        # What the query says besides is not in a plain answer.
        is_plain=said == query and arm.assembly.joined is not None,
        head=head_of_hits(answer),
        counted=(placement.name, variant or "", "", ()),
    )
