"""How much a caller may ask for in one call, in a query string and in a JSON body, to the last character."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from service.api.query import PARAMETERS, parse_body, parse_query
from service.errors import InvalidQuery
from service.models import RecommendationQuery, RequestKind

EMOJI = b"%F0%9F%98%80"
"""The longest character, as it is escaped."""

NAME = "a" * 50
LONG = "x" * 256
FIELDS = b"&fields=a," * 21 + b"&fields=" + ",".join(map(str, range(19))).encode()
CONTEXT = b"".join(b"&context.a%d=1" % one for one in range(25))


def outcome(query: bytes, kind: RequestKind = "recommendations") -> RecommendationQuery | str:
    try:
        return parse_query(query, kind)
    except InvalidQuery as error:
        return str(error)


def outcome_of_body(body: object) -> RecommendationQuery | str:
    try:
        return parse_body(body if isinstance(body, bytes) else json.dumps(body).encode(), "ranking")
    except InvalidQuery as error:
        return str(error)


def commas(count: int) -> bytes:
    return b"," * count


@pytest.mark.parametrize(
    ("taken", "refused", "why"),
    [
        (b"&a=1" * 999, b"&a=1" * 1_000, "query: at most 1000 parameters"),
        (b"&send=" + b"x" * 256, b"&send=" + b"x" * 257, "send: at most 256 characters, not 257"),
        (b"&send=" + EMOJI * 256, b"&send=" + EMOJI * 257, "send: at most 256 characters"),
        (b"&send=%" + b"%" * 255, b"&send=%" + b"%" * 256, "send: more than 256 percent signs that escape nothing"),
        (b"&exclude=" + b"x" * 256, b"&exclude=" + b"x" * 257, "exclude: an id has at most 256 characters"),
        (
            b"&exclude=" + commas(2_000),
            b"&exclude=" + commas(2_001),
            "exclude: at most 2000 parts, blank ones included",
        ),
        (
            b"&exclude=" + commas(1_000) + b"&exclude=" + commas(1_000),
            b"&exclude=" + commas(1_000) + b"&exclude=" + commas(1_001),
            "exclude: at most 2000 parts, blank ones included",
        ),
        (FIELDS, FIELDS + b"&fields=b", "fields: at most 20 columns, not 21"),
        (b"&rotate=10", b"&rotate=11", "rotate: a whole number from 0 to 10"),
        (b"&rotate=", b"&rotate=x", "rotate: a whole number from 0 to 10"),
        (b"&rotate=000000010", b"&rotate=-1", "rotate: a whole number from 0 to 10"),
        (b"&rotate=+3+", b"&rotate=0000000001", "rotate: a whole number from 0 to 10"),
        (b"&num_results=000000100", b"&num_results=0000000001", "num_results: a whole number from 1 to 100"),
        (b"&num_results=&numResults=100", b"&num_results=&numResults=101", "numResults: a whole number from 1 to 100"),
        (b"&num_results=1", b"&num_results=" + b"1" * 385, "num_results: a whole number from 1 to 100"),
        (b"&attribution=go", b"&attribution=goo", "attribution: url, go, or blank"),
        (b"&attribution=url", b"&attribution=" + b"url" * 200, "attribution: url, go, or blank"),
        (b"&format=", b"&format=" + b"array" * 100, "format: array or object"),
        (
            b"&context." + NAME.encode() + b"=" + EMOJI * 1_000,
            b"&context." + NAME.encode() + b"=" + EMOJI * 1_001,
            f"context.{NAME}: at most 1000 characters",
        ),
        (
            b"&context.a=" + b"x" * 1_000,
            b"&context.a=" + b"x" * 1_001,
            "context.a: at most 1000 characters, not 1001",
        ),
        (CONTEXT + b"&context.a0=2", CONTEXT + b"&context.b=1", "context: at most 25 names, not 26"),
        (
            b"&filter_values." + NAME.encode() + b"=1",
            b"&filter_values." + NAME.encode() + b"a" * 400 + b"=1",
            f"filter_values.{NAME}: a name of 1 to 50 letters, digits and _ follows the point",
        ),
        # A name that begins otherwise is none of ours, however long and whatever it is.
        (b"&x." + b"%ff" * 200 + b"=1", b"&x.%ff=1", "query: is not UTF-8"),
        (b"&x." + b"%" * 256 + b"=1", b"&x." + b"%" * 257 + b"=1", "query: is not UTF-8"),
        (b"&send=" + b"x" * 31 + b"+", b"&send=" + b"x" * 31 + b"%ff", "send: is not UTF-8"),
        (b"&x." + b"a" * 396 + b"%ff=1", b"&x." + b"a" * 395 + b"%ff=1", "query: is not UTF-8"),
    ],
)
def test_a_query_may_ask_for_so_much_and_for_no_more(taken: bytes, refused: bytes, why: str) -> None:
    """I3"""
    assert isinstance(outcome(b"user_id=1" + taken), RecommendationQuery)
    assert outcome(b"user_id=1" + refused) == why


IDS = ",".join(map(str, range(500)))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("user_id=u&item_ids=a,b&itemIds=c", {"item_ids": ("a", "b", "c"), "num_results": 3}),
        ("user_id=&itemIDs=a&num_results=500", {"user_id": "", "item_ids": ("a",), "num_results": 500}),
        (f"user_id=u&item_ids={IDS}", {"item_ids": tuple(IDS.split(",")), "num_results": 500}),
        (f"user_id=u&item_ids={IDS},500", "item_ids: at most 500 ids, not 501"),
        (f"user_id=u&item_ids={LONG}", {"item_ids": (LONG,), "num_results": 1}),
        (f"user_id=u&item_ids={LONG}x", "item_ids: an id has at most 256 characters"),
        ("user_id=u&item_ids=a&num_results=501", "num_results: a whole number from 1 to 500"),
        ("user_id=u&item_ids=,+,", "item_ids: is missing; 1 to 500 ids"),
        ("item_ids=a", "user_id: is missing; send it blank for the non-personalised list"),
    ],
)
def test_a_ranking_has_as_many_items_as_are_given(query: str, says: dict[str, Any] | str) -> None:
    expected = says
    if not isinstance(says, str):
        expected = replace(RecommendationQuery("u", 0, kind="ranking"), **says)  # type: ignore[assignment]  # either
    assert outcome(query.encode(), "ranking") == expected


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("item_id=a&user_id=u", {"item_id": "a", "user_id": "u"}),
        ("itemID=a", {"item_id": "a"}),
        ("itemId=", {"item_id": ""}),
        ("user_id=u", {"user_id": "u", "names_item": False}),
        ("item_id=a&item_ids=b", {"item_id": "a"}),
        (f"item_id={LONG}x", "item_id: at most 256 characters, not 257"),
    ],
)
def test_similar_items_need_an_item_and_no_user(query: str, says: dict[str, Any] | str) -> None:
    expected = says
    if not isinstance(says, str):
        expected = replace(RecommendationQuery("", 10, kind="similar-items"), **says)  # type: ignore[assignment]  # either
    assert outcome(query.encode(), "similar-items") == expected


def test_of_the_others_none_has_an_item() -> None:
    query = "user_id=u&item_id=a&item_ids=b&attribution=url&send=+s+&placement=+p+&rotate=2&context.B=2&context.A=1"
    assert outcome(query.encode()) == RecommendationQuery(
        "u", 10, attribution="url", send="s", placement="p", rotate=2, context=(("A", "1"), ("B", "2"))
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, {}),
        ({"num_results": 2, "user_id": 7, "rotate": None}, {"num_results": 2, "user_id": "7"}),
        ({"exclude": ["a,b", 3, " c "]}, {"exclude": frozenset({"a,b", "3", "c"})}),
        ({"exclude": "a,b"}, {"exclude": frozenset({"a", "b"})}),
        ({"filter_values": {"A": 1.5}, "filter_values.B": "x"}, {"filter_values": (("A", "1.5"), ("B", "x"))}),
        ({"context": {"A": "x"}, "unknown": [[]], "x": {}}, {"context": (("A", "x"),)}),
        (
            {"exclude": ["a"] * 1_000, "fields": [""] * 997, "context": {"A": 1}},
            {"exclude": frozenset("a"), "context": (("A", "1"),)},
        ),
        ({"exclude": ["a"] * 1_001, "fields": [""] * 997, "context": {"A": 1}}, "body: at most 2000 values"),
        ({"exclude": [",,,"] * 1_000}, {"exclude": frozenset({",,,"})}),
        ({"exclude": "," * 2_001}, "exclude: at most 2000 parts, blank ones included"),
        ({"exclude": {"a": 1}}, "exclude: is neither text nor a number, nor a list of them"),
        ({"exclude": [["a"]]}, "exclude: is neither text nor a number, nor a list of them"),
        ({"send": ["a"]}, "send: is neither text nor a number"),
        ({"send": True}, "send: is neither text nor a number"),
        ({"placement": {"a": 1}}, "placement: is neither text nor a number"),
        ({"filter_values": "A"}, "filter_values: is not an object of names and values"),
        ({"filter_values": ["A"]}, "filter_values: is not an object of names and values"),
        ({"filter_values": {"A": None}}, "filter_values.A: is neither text nor a number"),
        ({"filter_values": {"-": "x"}}, "filter_values.-: a name of 1 to 50 letters, digits and _ follows the point"),
        ({"context": {"A" * 300: []}}, f"context.{'A' * 248}: is neither text nor a number"),
        ({"send": "x" * 257}, "send: at most 256 characters, not 257"),
        ({"item_ids": []}, "item_ids: is missing; 1 to 500 ids"),
        ({"num_results": 501}, "num_results: a whole number from 1 to 500"),
        ({"user_id": None}, "user_id: is missing; send it blank for the non-personalised list"),
    ],
)
def test_a_body_says_what_a_query_says_and_its_lists_are_whole(
    more: dict[str, Any], says: dict[str, Any] | str
) -> None:
    expected = says
    if not isinstance(says, str):
        plain = RecommendationQuery("u", 2, kind="ranking", item_ids=("a", "b,c"))
        expected = replace(plain, **says)  # type: ignore[assignment]  # either
    assert outcome_of_body({"user_id": "u", "item_ids": ["a", "b,c"]} | more) == expected


@pytest.mark.parametrize(("body", "why"), [(b"{", "is not JSON"), (b"[]", "is not a JSON object")])
def test_a_body_is_a_json_object(body: bytes, why: str) -> None:
    assert outcome_of_body(body) == f"body: {why}"


@pytest.mark.parametrize("kind", PARAMETERS)
def test_the_document_says_of_each_parameter_what_the_parser_does(kind: RequestKind) -> None:
    values = {"user_id": "u", "item_id": "a", "item_ids": "a,b"}
    required = {one["name"]: values[one["name"]] for one in PARAMETERS[kind] if one.get("required")}
    plain = outcome(urlencode(required).encode(), kind)
    assert isinstance(plain, RecommendationQuery)
    for one in PARAMETERS[kind]:
        name, schema = one["name"], one["schema"]

        def with_value(value: object, name: str = name) -> bool:
            return isinstance(outcome(urlencode(required | {name: value}).encode(), kind), RecommendationQuery)

        without = outcome(urlencode({key: value for key, value in required.items() if key != name}).encode(), kind)
        if name != "item_id":
            # The placement may find one.
            assert isinstance(without, str) == (name in required)
        assert with_value("") == (name not in required or one.get("allowEmptyValue", False))
        for bound, beyond in (("minimum", -1), ("maximum", 1)):
            if bound in schema:
                assert with_value(schema[bound])
                assert not with_value(schema[bound] + beyond)
        assert getattr(plain, name, None) == schema.get("default", getattr(plain, name, None)) or name == "format"
        for value in schema.get("enum", ()):
            assert with_value(value)
        if "enum" in schema:
            assert not with_value("x")
        if "maxLength" in schema:
            asked = name.replace("NAME", "A")
            assert with_value("x" * schema["maxLength"], asked)
            assert not with_value("x" * (schema["maxLength"] + 1), asked)


def test_a_name_may_be_escaped_like_anything_else() -> None:
    assert outcome(b"user%5Fid=u&%6Eum_results=3&unknown%5F=1&nobody%2E=2") == RecommendationQuery("u", 3)
