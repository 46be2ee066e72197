"""A query of a known form is understood as it would be by itself."""

import gc
from dataclasses import replace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from service.answers.placement import Placement, Placements
from service.api.query import parse_query
from service.api.query_forms import MAX_FORMS, MAX_ONCE, QueryForms
from service.errors import InvalidQuery
from service.models import RequestKind
from tests.support.clocks import StandingClock

NAMES = ["user_id", "userID", "userId", "user%5Fid", "xuser_id", "num_results", "item_id", "placement", "fields", ""]
VALUES = ["", "u%40shop.example", "%ff", "u1", "u2", "a.b-c~d_e", "a%20b", "+", "%"]
VALUES += ["5", "0", "for-you", "ü", "a,b", "&", "=", "x" * 257]

pairs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)).map("=".join), max_size=5)
queries = st.lists(pairs.map("&".join), min_size=1, max_size=12)
kinds = st.sampled_from(["recommendations", "similar-items", "ranking"])


def forms() -> QueryForms:
    nothing: Any = None
    placements = [
        Placement(name=kind, kind=kind, clock=StandingClock(), arms=(), split=nothing, fallback_pins=nothing)
        for kind in cast("list[RequestKind]", ["recommendations", "similar-items", "ranking"])
    ]
    return QueryForms(Placements(placements))


@given(kind=kinds, asked=queries)
def test_what_comes_again_is_understood_as_if_it_came_once(kind: RequestKind, asked: list[str]) -> None:
    known = forms()
    for query in asked * 3:
        query_string = query.encode()
        found = known.find(kind, query_string)
        if found is not None:
            form, user_id = found
            assert replace(form.query, user_id=user_id) == parse_query(query_string, kind)


def test_a_form_is_found_for_every_user_from_the_second_call_on() -> None:
    known = forms()
    found = [known.find("recommendations", b"num_results=5&user_id=u%d&fields=" % number) for number in range(4)]
    assert [None if one is None else one[1] for one in found] == [None, "u1", "u2", "u3"]
    assert len({one[0] for one in found if one is not None}) == 1


def test_a_query_that_is_refused_has_no_form() -> None:
    known = forms()
    for query in (b"user_id=u1&num_results=0", b"user_id=u1&userId=%ff", b"num_results=5"):
        try:
            parse_query(query)
        except InvalidQuery:
            assert [known.find("recommendations", query) for _ in range(3)] == [None] * 3


def test_queries_that_never_come_again_are_not_kept() -> None:
    known = forms()
    for number in range(MAX_ONCE + MAX_FORMS):
        known.find("recommendations", b"user_id=u1&exclude=%d" % number)
    assert not known._forms
    assert len(known._once) <= MAX_ONCE


def test_nothing_of_a_user_is_kept_whether_or_not_its_id_is_plain() -> None:
    known = forms()
    for user in (b"plain-user-1", b"%75ser-of-letters", b"user+of+blanks", b"x" * 300):
        for _ in range(3):
            known.find("recommendations", b"user_id=%b&num_results=5" % user)
    kept = [part for key in known._forms for part in key]
    assert kept == ["recommendations", b"user_id=", b"&num_results=5"]
    assert not gc.is_tracked(known._once) or all(isinstance(one, int) for one in known._once)
