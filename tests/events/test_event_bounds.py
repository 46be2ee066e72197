"""What an event may hold: each bound as it is met, and one beyond it."""

from typing import Any

import pytest

from service.events.event import (
    MAX_ATTRIBUTION_SOURCE_CHARACTERS,
    MAX_ENTRIES,
    MAX_EVENTS,
    MAX_IMPRESSION,
    MAX_PROPERTIES_CHARACTERS,
    MAX_RECOMMENDATION_ID_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Event,
    EventProblem,
    camel_case,
    events_of,
    session_of,
)

NOW = 1_700_000_000.0


DEEP: dict[str, object] = {}
for _ in range(300):
    DEEP = {"a": DEEP}


def read(**given: Any) -> Event | EventProblem:  # noqa: ANN401  # JSON
    entry = {"userId": "ann", "eventList": [{"eventType": "View", "itemId": "a", **given}]}
    [found] = events_of(entry, NOW)
    return found


@pytest.mark.parametrize(
    ("name", "most", "attribute"),
    [
        ("eventType", MAX_TEXT_CHARACTERS, "event_type"),
        ("itemId", MAX_TEXT_CHARACTERS, "item_id"),
        ("eventId", MAX_TEXT_CHARACTERS, "event_id"),
        ("recommendationId", MAX_RECOMMENDATION_ID_CHARACTERS, "recommendation_id"),
    ],
)
def test_a_text_may_be_so_long_and_no_longer(name: str, most: int, attribute: str) -> None:
    assert getattr(read(**{name: "x" * most}), attribute) == "x" * most
    found = read(**{name: "x" * (most + 1)})
    assert str(found) == f"{name}: at most {most} characters, not {most + 1}"
    assert getattr(read(**{name: " 12 "}), attribute) == getattr(read(**{name: 12}), attribute) == "12"
    assert str(read(**{name: True})) == str(read(**{name: ["x"]})) == f"{name}: is not text"


@pytest.mark.parametrize(
    ("sent_at", "seconds"),
    [
        (NOW, NOW),
        (NOW * 1000, NOW),
        (NOW * 1000 + 250, NOW + 0.25),
        (str(int(NOW)), NOW),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20.5+01:00", NOW + 0.5),
        (None, NOW),
        (1e11 / 1000, 1e8),
        (2e11, 2e8),
        (NOW * 1e6, NOW),
        (NOW * 1e9, NOW),
    ],
)
def test_a_moment_is_seconds_milliseconds_or_iso_8601(sent_at: object, seconds: float) -> None:
    found = read(sentAt=sent_at)
    assert isinstance(found, Event), found
    assert found.sent_at == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"impression": ["a"] * MAX_IMPRESSION}, None),
        ({"impression": ["a"] * (MAX_IMPRESSION + 1)}, "impression: at most 25 items, not 26"),
        ({"impression": []}, None),
        ({"impression": None}, None),
        ({"impression": "a"}, "impression: is not a list of item ids"),
        ({"impression": ["a", ""]}, "impression: is not a list of item ids"),
        ({"impression": ["a", 1]}, "impression: is not a list of item ids"),
        ({"properties": {"a": "x" * (MAX_PROPERTIES_CHARACTERS - len('{"a":""}'))}}, None),
        (
            {"properties": {"a": "x" * MAX_PROPERTIES_CHARACTERS}},
            "properties: at most 1024 characters as JSON",
        ),
        ({"metricAttribution": {"eventAttributionSource": "x" * MAX_ATTRIBUTION_SOURCE_CHARACTERS}}, None),
        ({"metricAttribution": "x"}, "metricAttribution: is not a JSON object"),
        ({"impression": ["a" * MAX_TEXT_CHARACTERS]}, None),
        ({"impression": ["a", "a" * (MAX_TEXT_CHARACTERS + 1)]}, "impression: an id of more than 256 characters"),
        ({"properties": "{"}, "properties: is not JSON"),
        ({"properties": "[]"}, "properties: is not a JSON object"),
        ({"properties": '{"a":1}'}, None),
        ({"properties": DEEP}, "properties: objects stand in one another too deep"),
        ({"sentAt": "2023-11-14T22:13:20"}, "sentAt: has no time zone; write Z behind it for UTC"),
        ({"sentAt": "yesterday"}, "sentAt: is neither Unix seconds nor ISO 8601"),
        ({"eventType": ""}, "eventType: is missing"),
        ({"eventType": "$x"}, "eventType: begins with $"),
        ({"eventValue": "3"}, "eventValue"),
        ({"eventValue": 3}, None),
    ],
)
def test_each_part_is_as_personalize_takes_it_or_the_event_is_refused(
    given: dict[str, object], problem: str | None
) -> None:
    found = read(**given)
    if problem is None:
        assert isinstance(found, Event)
    else:
        assert isinstance(found, EventProblem)
        assert str(found).startswith(problem)


def test_so_many_entries_of_so_many_events_are_taken_and_no_more() -> None:
    event = {"eventType": "View"}
    entry = {"userId": "ann", "eventList": [event]}
    assert len(list(events_of([entry] * MAX_ENTRIES, NOW))) == MAX_ENTRIES
    assert len(list(events_of({**entry, "eventList": [event] * MAX_EVENTS}, NOW))) == MAX_EVENTS
    for odd in (
        [entry] * (MAX_ENTRIES + 1),
        {**entry, "eventList": [event] * (MAX_EVENTS + 1)},
        {**entry, "eventList": []},
        {**entry, "eventList": event},
        ["x"],
    ):
        with pytest.raises(EventProblem):
            list(events_of(odd, NOW))


def test_an_entry_names_a_user_or_a_session_and_a_wrong_event_leaves_the_others_theirs() -> None:
    events = [{"eventType": "View", "itemId": "a"}, "x", {"eventType": "View", "itemId": "b"}]
    found = list(events_of({"sessionId": "s", "eventList": events}, NOW))
    assert [getattr(one, "item_id", None) for one in found] == ["a", None, "b"]
    assert isinstance(found[0], Event)
    assert (found[0].user_id, found[0].session_id, found[0].owner) == ("", "s", "s")
    assert (found[0].lifts, found[0].known_only) == (False, False)
    [nobody] = events_of({"eventList": [{"eventType": "View"}]}, NOW)
    assert str(nobody) == "userId: is missing, and there is no sessionId"


def test_an_event_comes_back_from_its_bytes_and_anything_else_does_not() -> None:
    event = read(eventId="e", impression=["a", "b"], eventValue=2.5, properties={"a": 1}, recommendationId="r")
    assert isinstance(event, Event)
    assert Event.unpacked(event.packed()) == event
    for odd in (b"", b"{}", b"[1]", b"null", event.packed()[:-1]):
        with pytest.raises(EventProblem, match="not a kept event"):
            Event.unpacked(odd)


@pytest.mark.parametrize(
    ("column", "name"),
    [("NUM_RATINGS", "numRatings"), ("PRICE", "price"), ("numRatings", "numRatings"), ("A_B_C", "aBC")],
)
def test_a_column_has_the_name_that_the_events_api_wants(column: str, name: str) -> None:
    assert camel_case(column) == name


def test_every_version_names_a_session_and_an_event_without_names_the_same() -> None:
    """While an update runs, replicas of two versions may take the same event in."""
    event = read()
    assert isinstance(event, Event)
    assert event.session_id == "day-ccc1b1ee13055d1c701fe148"
    assert event.event_id == "449f3948c8f378e5077eaa90bab0da36"
    day = 86_400.0
    begins = NOW // day * day
    sessions = [session_of("ann", at) for at in (begins, begins + day - 0.001, begins + day)]
    assert sessions[0] == sessions[1] != sessions[2]
    assert session_of("bob", NOW) != session_of("ann", NOW)
