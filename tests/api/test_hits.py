"""Which way a hit is found, and what of it is counted: with a list in memory, and answers that the test makes."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from service.answers.placement import Placements
from service.api import hits as hits_module
from service.api.headers import head_of_hits
from service.api.hits import Hits
from service.api.lifecycle import Asked
from service.api.query_forms import ArmForm, QueryForm
from service.errors import InvalidQuery
from service.lists.envelope import Envelope, seal
from service.lists.keys import UserKey
from service.lists.numbers import ItemNumbers, NumberedList, numbered
from service.models import Answer, ItemList, RecommendationQuery
from tests.support.clocks import StandingClock
from tests.support.virtual_time import EPOCH

KEY: Any = UserKey(b"key of u")
OLD_SECONDS = 7.25
QUERY = b"user_id=u"
CACHED = Answer(b"[1,2]", "cache", None, "RID-1", 99, placement="for-you", variant="v2", dropped=(("blocked", 1),))
HEAD = head_of_hits(Answer(b"", "cache", None, "", None, placement="for-you"))


def kept_of(made_at: float) -> tuple[NumberedList, Envelope]:
    envelope = seal(ItemList(("a", "b"), "RID-1", made_at))
    found = numbered(envelope, ItemNumbers())
    assert found is not None
    return found, envelope


class Scene:
    """One placement with one arm, whose form is known; each call takes a quarter of a second."""

    def __init__(self) -> None:
        self.clock = StandingClock(50.0)
        self.knows_events = True
        self.kept: NumberedList | None
        self.envelope: Envelope | None
        self.kept, self.envelope = kept_of(EPOCH + 50.0 - OLD_SECONDS)
        self.joined: tuple[Any, ...] | None = (b"[1]", None, None, (), None, None, None)
        self.answer: Answer | None = CACHED
        self.chosen: list[tuple[object, object]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.assembly: Any = SimpleNamespace(joined=SimpleNamespace(join=self.join))
        lists = SimpleNamespace(
            fresh_numbered=self.fresh_numbered,
            fresh=self.fresh,
            keep_choice=lambda *said: self.chosen.append(said),
        )
        self.arm: Any = SimpleNamespace(lists=lists, assembly=self.assembly, key_of=lambda _: KEY)
        self.placement: Any = SimpleNamespace(
            place_of_arm=lambda user_id: {"u": 0}[user_id],
            from_list=self.from_list,
            with_item=lambda query: query,
            arm_of=lambda _: self.arm,
        )
        services: Any = SimpleNamespace(
            clock=self.clock,
            placements=Placements([]),
            knows_events_of=lambda user_id: self.knows_events or user_id != "u",
        )
        services.placements.of = lambda _: self.placement
        self.form_query = RecommendationQuery("", 5)
        self.key_of: Any = {"u": KEY}.get
        self.is_plain = True
        self.hits = Hits(services)
        self.has_form = True
        self.hits._forms.find = self.form  # type: ignore[method-assign,assignment]  # the test's own

    def form(self, *_: object) -> tuple[QueryForm, str] | None:
        if not self.has_form:
            return None
        arm = ArmForm(self.arm, self.key_of, self.is_plain, HEAD, ("for-you", "", "", ()))
        return QueryForm(self.form_query, self.placement, (arm,), None), "u"

    def fresh_numbered(self, key: object, now: float) -> NumberedList | None:
        self.asked.append(("numbered", key, now))
        return self.kept

    def fresh(self, key: object) -> Envelope | None:
        self.asked.append(("fresh", key))
        return self.envelope

    def join(self, *said: object) -> Any:  # noqa: ANN401  # as the test has it
        self.asked.append(("join", *said))
        self.clock.now += 0.25
        return self.joined

    def from_list(self, query: RecommendationQuery, arm: object, envelope: object) -> Answer | None:
        self.asked.append(("made", query.user_id, arm is self.arm, envelope))
        self.clock.now += 0.25
        return self.answer

    def find(self, query: bytes = QUERY, **more: bool) -> Any:  # noqa: ANN401  # an answer or not
        return self.hits.find("recommendations", query, self.clock.monotonic(), **more)

    def ways(self) -> list[str]:
        return [one[0] for one in self.asked]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def passing(milliseconds: float) -> bytes:
    return b"server-timing: total;dur=%.1f\r\nage: 7\r\n" % milliseconds


BEGIN = (
    b"content-type: application/json\r\ncontent-length: %d\r\ncache-control: no-store\r\n"
    b"x-recommendation-source: cache\r\nx-recommendation-placement: for-you\r\n"
)


def test_a_plain_answer_is_joined_and_nothing_is_made(scene: Scene) -> None:
    head, body, age, counted, seconds = scene.find()
    assert head == BEGIN % 3 + b"x-recommendation-id: RID-1\r\n" + passing(250.0)
    assert (body, age, counted, seconds) == (b"[1]", 7, ("for-you", "", "", ()), 0.25)
    now = EPOCH + 50.0
    assert scene.asked == [("numbered", KEY, now), ("join", scene.form_query, "u", scene.kept, None)]
    assert scene.chosen == []


def test_what_a_join_dropped_or_chose_is_counted_and_kept(scene: Scene) -> None:
    scene.joined = (b"[1]", None, None, (("blocked", 2),), None, None, b"with a choice")
    assert scene.find()[3] == ("for-you", "", "", (("blocked", 2),))
    assert scene.chosen == [(KEY, b"with a choice")]


@pytest.mark.parametrize(
    ("what", "tried"),
    [
        ("no form", []),
        ("not plain", []),
        ("no list", ["numbered"]),
        ("nothing that joins", ["numbered"]),
        ("no joined answer", ["numbered", "join"]),
    ],
)
def test_what_cannot_be_joined_is_made_of_the_list(scene: Scene, what: str, tried: list[str]) -> None:
    match what:
        case "no form":
            scene.has_form = False
        case "not plain":
            scene.is_plain = False
        case "no list":
            scene.kept = None
        case "nothing that joins":
            scene.assembly.joined = None
        case _:
            scene.joined = None
    head, body, age, counted, seconds = scene.find()
    assert scene.ways() == [*tried, "fresh", "made"]
    assert scene.asked[-2:] == [("fresh", KEY), ("made", "u", True, scene.envelope)]
    begin = BEGIN.replace(b"for-you\r\n", b"for-you\r\nx-recommendation-variant: v2\r\nx-recommendation-id: RID-1\r\n")
    took = 500.0 if "join" in tried else 250.0
    assert head == begin % 5 + passing(took)
    assert (body, age, counted, seconds) == (b"[1,2]", 7, ("for-you", "v2", "", (("blocked", 1),)), took / 1000)


@pytest.mark.parametrize(("variant", "reason"), [(None, None), ("v2", "budget"), ("v2", None), (None, "budget")])
def test_variant_and_reason_are_counted_where_there_are_any(
    scene: Scene,
    variant: str | None,
    reason: Any,  # noqa: ANN401  # a reason
) -> None:
    scene.is_plain = False
    scene.answer = replace(CACHED, variant=variant, degraded_reason=reason)
    assert scene.find()[3] == ("for-you", variant or "", reason or "", (("blocked", 1),))


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize(("seconds", "age"), [(0.0, 0), (-5.0, 0), (0.999, 0), (1.0, 1)])
def test_a_list_has_whole_seconds_of_age_and_none_by_a_clock_that_is_behind(
    scene: Scene, seconds: float, age: int, *, is_plain: bool
) -> None:
    scene.is_plain = is_plain
    # An answer that is made has the age at its end.
    made_at = EPOCH + scene.clock.now - seconds + (0.0 if is_plain else 0.25)
    scene.kept, scene.envelope = kept_of(made_at)
    head, _, found, _, _ = scene.find()
    assert found == age
    assert head.endswith(b"\r\nage: %d\r\n" % age)


@pytest.mark.parametrize(
    ("what", "ways"),
    [
        ("no key", []),
        ("no list", ["fresh"]),
        ("a send", ["fresh"]),
        ("a rotation", ["fresh"]),
        ("events to load", ["fresh"]),
        ("no answer", ["fresh", "made"]),
    ],
)
def test_what_memory_cannot_answer_is_handed_on_as_it_was_read(scene: Scene, what: str, ways: list[str]) -> None:
    scene.is_plain = False
    match what:
        case "no key":
            scene.is_plain, scene.key_of = True, {}.get
        case "no list":
            scene.envelope = None
        case "a send":
            scene.form_query = replace(scene.form_query, send="s")
        case "a rotation":
            scene.form_query = replace(scene.form_query, rotate=2)
        case "events to load":
            scene.knows_events = False
        case _:
            scene.answer = None
    found = scene.find()
    key = None if what == "no key" else KEY
    assert found == Asked(replace(scene.form_query, user_id="u"), scene.placement, scene.arm, key, 50.0)
    assert scene.ways() == ways


def test_where_events_are_to_be_loaded_nothing_is_joined(scene: Scene) -> None:
    scene.knows_events = False
    assert isinstance(scene.find(), Asked)
    assert scene.ways() == ["numbered", "fresh"]


def test_an_answer_of_which_nothing_is_shown_goes_along(scene: Scene) -> None:
    scene.is_plain, scene.answer = False, replace(CACHED, source="popular")
    found = scene.find()
    assert isinstance(found, Asked)
    assert (found.answer, found.key, found.began) == (scene.answer, KEY, 50.0)


@pytest.mark.parametrize(
    ("query", "is_whole"),
    [
        (b"user_id=u", True),
        (b"user_id=u&fields=!%22$~", True),
        (b"user_id=u#part", False),
        (b"user_id=u v", False),
        (b"user_id=u\x7f", False),
        (b"user_id=u\xc3\xbc", False),
        (b"user_id=u\x01", False),
    ],
)
@pytest.mark.parametrize("is_parsed", [False, True])
def test_a_target_that_no_parser_has_seen_is_read_if_it_is_all_query(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, query: bytes, *, is_whole: bool, is_parsed: bool
) -> None:
    scene.has_form = False
    read: list[tuple[object, ...]] = []

    def parse(*said: object) -> RecommendationQuery:
        read.append(said)
        return RecommendationQuery("u", 5)

    monkeypatch.setattr(hits_module, "parse_query", parse)
    found = scene.find(query, is_parsed=is_parsed)
    assert (found is not None) == (is_whole or is_parsed)
    assert read == [(query, "recommendations")] * (found is not None)


def test_a_query_is_taken_for_parsed_unless_it_is_said_and_one_that_is_refused_has_no_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.has_form = False
    assert scene.find(b"user_id=u&x=\xc3\xbc") is not None
    assert scene.find(b"user_id=u&num_results=0") is None

    def refuse(_: object) -> None:
        raise InvalidQuery("item_id", "is missing")

    monkeypatch.setattr(scene.placement, "arm_of", refuse)
    assert scene.find() is None
