"""What is asked again in other words is not read again: how often is counted, since the answer is the same anyway."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from service.answers.placement import Placement, Placements
from service.api import query_forms
from service.api.known_heads import EMPTIED_SECONDS, MAX_SHAPES, KnownHeads
from service.api.query import parse_query
from service.api.query_forms import MAX_FORM_BYTES, QueryForms
from service.models import RequestKind
from tests.support.clocks import StandingClock

KINDS: list[RequestKind] = ["recommendations", "similar-items", "ranking"]


class Work:
    """Forms, and what they cost: searches for a user in a query, and queries that were parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, finds_items: bool = False) -> None:
        self.searched = self.parsed = 0
        search, parse = query_forms._user_in, parse_query

        def searching(query_string: bytes) -> object:
            self.searched += 1
            return search(query_string)

        def parsing(query_string: bytes, kind: RequestKind) -> object:
            self.parsed += 1
            return parse(query_string, kind)

        monkeypatch.setattr(query_forms, "_user_in", searching)
        monkeypatch.setattr(query_forms, "parse_query", parsing)
        nothing: Any = None
        finder: Any = object()
        placements = [
            Placement(
                name=kind,
                kind=kind,
                clock=StandingClock(),
                arms=(),
                split=nothing,
                fallback_pins=nothing,
                item_from=finder if finds_items else None,
            )
            for kind in KINDS
        ]
        self.forms = QueryForms(Placements(placements))

    def of(self, query: str, kind: RequestKind = "recommendations") -> tuple[str | None, int, int]:
        """The user that is found with a form, None without; and searches and parsed queries that it cost."""
        searched, parsed = self.searched, self.parsed
        found = self.forms.find(kind, query.encode())
        return None if found is None else found[1], self.searched - searched, self.parsed - parsed


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def test_a_template_is_parsed_at_its_second_call_and_searched_until_its_third(work: Work) -> None:
    def call(user: str) -> tuple[str | None, int, int]:
        return work.of(f"num_results=5&user_id={user}&fields=a")

    assert call("u1") == (None, 1, 0)
    # For two users, so that no other parameter names them.
    assert call("u2") == ("u2", 1, 2)
    assert call("u3") == ("u3", 1, 0)
    for user in ("u4", "a-b", "-", "X" * 256):
        assert call(user) == (user, 0, 0)
    # An id that may be something else is searched for, and does not take the template out of mind.
    assert call("a.b") == ("a.b", 1, 0)
    assert call("a%20b") == ("a b", 1, 0)
    assert call("a+b") == ("a b", 1, 0)
    assert call("X" * 257) == (None, 1, 0)
    assert call("%") == ("%", 1, 0)
    assert call("%ff") == (None, 1, 0)
    assert call("%20") == (None, 1, 0)
    assert call("") == (None, 1, 0)
    assert call("u5") == ("u5", 0, 0)
    # Of the latest template each kind has its own.
    assert work.of("user_id=u1", "ranking") == (None, 1, 0)
    assert call("u6") == ("u6", 0, 0)


def test_another_template_is_searched_once_and_then_the_first_again(work: Work) -> None:
    for user in ("u1", "u2", "u3"):
        for template in ("user_id={}", "x=1&userId={}"):
            work.of(template.format(user))
    assert work.of("x=1&userId=u4") == ("u4", 0, 0)
    assert work.of("user_id=u4") == ("u4", 1, 0)
    assert work.of("user_id=u5") == ("u5", 0, 0)
    # What begins and ends as a template does is another one if more stands in between.
    assert work.of("user_id=u5&fields=a") == (None, 1, 0)
    assert work.of("user_id=u5") == ("u5", 0, 0)
    # Nobody is a user, too.
    assert work.of("user_id=") == ("", 1, 0)


def test_what_can_have_no_form_is_parsed_once_for_one(work: Work) -> None:
    refused = "user_id=u1&num_results=0"
    assert [work.of(refused) for _ in range(4)] == [(None, 1, 0), (None, 1, 1), (None, 1, 0), (None, 1, 0)]
    other_user = "user_id=u1&fields=ä"
    assert [work.of(other_user) for _ in range(3)] == [(None, 1, 0)] * 3
    unknown = "user_id=u1&placement=none"
    assert [work.of(unknown) for _ in range(3)] == [(None, 1, 0), (None, 1, 2), (None, 1, 0)]
    # The first name of a user counts, wherever it stands.
    twice = "userId=u1&user_id=u2"
    assert [work.of(twice) for _ in range(3)] == [(None, 1, 0), (None, 1, 2), (None, 1, 0)]


def test_a_query_without_a_user_has_a_form_of_its_own(work: Work) -> None:
    assert [work.of("item_id=a", "similar-items") for _ in range(3)] == [(None, 1, 0), ("", 1, 2), ("", 1, 0)]
    assert [work.of("user_id=u&item_id=a", "similar-items") for _ in range(4)] == [
        (None, 1, 0),
        ("u", 1, 2),
        ("u", 1, 0),
        ("u", 0, 0),
    ]
    assert work.of("item_id=a", "similar-items") == ("", 1, 0)
    assert work.of("user_id=v&item_id=a", "similar-items") == ("v", 0, 0)
    # Nobody says which item: the placement may find one, which is another one for each user.
    for query in ("num_results=3", "user_id=u"):
        assert [work.of(query, "similar-items")[0] for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("finds_items", [False, True])
def test_a_blank_item_has_a_form_unless_the_placement_finds_items(
    monkeypatch: pytest.MonkeyPatch, *, finds_items: bool
) -> None:
    work = Work(monkeypatch, finds_items=finds_items)
    found = [work.of(query, "similar-items")[0] for query in ["user_id=u&item_id="] * 2 + ["user_id=u&item_id=a"] * 2]
    assert found == [None, None if finds_items else "u", None, "u"]


def test_the_items_to_rank_are_given_with_the_form(work: Work) -> None:
    for _ in range(2):
        work.of("user_id=u&item_ids=a,b", "ranking")
        work.of("user_id=u")
    ranking = work.forms.find("ranking", b"user_id=u&item_ids=a,b")
    plain = work.forms.find("recommendations", b"user_id=u")
    assert ranking is not None
    assert plain is not None
    assert ranking[0].given is not None
    assert plain[0].given is None


def test_a_longer_query_is_neither_known_nor_remembered(work: Work) -> None:
    room = MAX_FORM_BYTES - len("user_id=u&x=")
    assert [work.of("user_id=u&x=" + "x" * room)[0] for _ in range(2)] == [None, "u"]
    assert [work.of("user_id=u&x=" + "y" * (room + 1)) for _ in range(3)] == [(None, 1, 0)] * 3
    # Only that it has no form is.
    assert len(work.forms._once) == 1


def test_forms_and_queries_that_came_once_make_room_all_together(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_forms, "MAX_FORMS", 3)
    monkeypatch.setattr(query_forms, "MAX_ONCE", 8)
    for number in range(3):
        assert [work.of(f"user_id=u&x={number}")[0] for _ in range(2)] == [None, "u"]
    assert [work.of(f"user_id=v&x={number}") for number in range(3)] == [("v", 1, 0)] * 3
    # The fourth takes the place of all; those that come again are made again, at their next call.
    assert [work.of("user_id=u&x=3")[0] for _ in range(2)] == [None, "u"]
    assert [work.of(f"user_id=v&x={number}") for number in (0, 1)] == [("v", 1, 2)] * 2
    assert work.of("user_id=v&x=3") == ("v", 1, 0)
    # Four came once so far; the ninth lets go of the others.
    for number in range(4, 8):
        work.of(f"user_id=u&x={number}")
    assert work.of("user_id=u&x=4")[0] == "u"
    work.of("user_id=u&x=8")
    assert work.of("user_id=u&x=5") == (None, 1, 0)
    assert work.of("user_id=u&x=8")[0] == "u"


@pytest.mark.parametrize(
    ("query", "user"),
    [
        ("xuser_id=a&user_id=b", "b"),
        ("x=user_id&userID=b", "b"),
        ("user_ids=a&user_id=b", "b"),
        ("users=a&userId=b&c", "b"),
        ("user_id=a b&userId=c", "c"),
        ("user_id", ""),
        ("superuser_id=b", ""),
    ],
)
def test_the_user_is_found_where_a_parameter_names_one(query: str, user: str) -> None:
    found = query_forms._user_in(query.encode())
    assert (found[1].decode() if found is not None else "") == user


def whole(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


def test_a_shape_has_the_values_that_count_and_only_the_names_of_the_others() -> None:
    heads = KnownHeads(frozenset({b"x-api-key"}), StandingClock().monotonic)
    lines = ["Host: x", "X-API-KEY: a b", "connection: keep-alive", "Trace: 1=2;3"]
    end = whole("/a", *lines).partition(b"/a")[2]
    shape = heads.shape(end)
    assert shape == (b"Host", b"X-API-KEY: a b", b"connection: keep-alive", b"Trace")
    assert heads.shape(b" HTTP/1.1\r\n\r\n") == ()
    for odd in ("Host:x", "Host : x", "Ho st: x", ": x", "Host", " Host: x"):
        assert heads.shape(whole("/a", "A: b", odd).partition(b"/a")[2]) is None
    pattern = heads.pattern(shape)
    assert pattern is not None
    assert heads.pattern(shape) is pattern
    found = pattern.fullmatch(whole("/b?c=d", "Host: other 1", *lines[1:3], "Trace: 4"))
    assert found is not None
    assert found[1] == b"/b?c=d"
    for others in (
        ["Host: x", "X-API-KEY: a  b", *lines[2:]],
        ["Host: x", "X-API-KEY: aXb", *lines[2:]],
        ["Host:  x", *lines[1:]],
        ["Host: ", *lines[1:]],
        ["Host: x ", *lines[1:]],
        ["Host: x", *lines[2:]],
        [*lines, "More: 1"],
        lines[::-1],
    ):
        assert pattern.fullmatch(whole("/b", *others)) is None
    for target in ("/b c", "", "/\x01"):
        assert pattern.fullmatch(whole(target, *lines)) is None
    assert pattern.fullmatch(whole("/b", *lines) + b"x") is None


def test_shapes_are_let_go_all_together_and_not_within_a_minute_of_the_last_time() -> None:
    clock = StandingClock()
    heads = KnownHeads(frozenset(), clock.monotonic)

    def made(first: int, count: int) -> list[bool]:
        return [heads.pattern((b"Host", b"A%d" % number)) is not None for number in range(first, first + count)]

    assert made(0, MAX_SHAPES) == [True] * MAX_SHAPES
    clock.now = EMPTIED_SECONDS - 0.1
    assert made(MAX_SHAPES, 2) == [False] * 2
    # What is there is found all the while.
    assert made(0, MAX_SHAPES) == [True] * MAX_SHAPES
    clock.now = EMPTIED_SECONDS
    assert made(MAX_SHAPES, MAX_SHAPES) == [True] * MAX_SHAPES
    clock.now = 2 * EMPTIED_SECONDS - 0.1
    assert made(0, 1) == [False]
    clock.now = 2 * EMPTIED_SECONDS
    assert made(0, 1) == [True]


def calls_of(pattern: re.Pattern[bytes], lines: Callable[[int], bytes]) -> list[bool]:
    return [pattern.fullmatch(lines(number)) is not None for number in range(3)]


def test_headers_of_bodies_and_of_the_reading_count_whatever_an_answer_depends_on() -> None:
    heads = KnownHeads(frozenset(), StandingClock().monotonic)
    names = ["Content-Length", "transfer-encoding", "Connection", "Proxy-Connection", "UPGRADE", "Expect"]
    shape = heads.shape(whole("/", *(f"{name}: x" for name in names)).partition(b"/")[2])
    assert shape == tuple(f"{name}: x".encode() for name in names)
    pattern = heads.pattern(shape)
    assert pattern is not None
    assert calls_of(pattern, lambda number: whole("/", *(f"{name}: {'xyz'[number]}" for name in names))) == [
        True,
        False,
        False,
    ]
