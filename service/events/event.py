"""An event as this service keeps it, and how it is read from the body of `POST /events`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from math import isfinite
from typing import Any, Final

import orjson

MAX_EVENTS: Final = 500
"""Events of one entry of a body. Ours: a day's events of a user, several times over."""

MAX_ENTRIES: Final = 500
"""Entries of one body."""

MAX_TEXT_CHARACTERS: Final = 256
"""Longest userId, sessionId, eventType, eventId and itemId. Source: Personalize API reference, PutEvents."""

MAX_PROPERTIES_CHARACTERS: Final = 1024
"""Longest properties, as JSON. Source: Personalize API reference, PutEvents."""

MAX_RECOMMENDATION_ID_CHARACTERS: Final = 40
MAX_ATTRIBUTION_SOURCE_CHARACTERS: Final = 1024
"""Source: Personalize API reference, MetricAttribution."""

MAX_IMPRESSION: Final = 25
"""Items of an impression. Source: Personalize API reference, PutEvents."""

MAX_FUTURE_SECONDS: Final = 86_400.0
"""An event may be dated this far after our clock: callers' clocks and zones differ."""


_WORD_START: Final = re.compile(r"[_\s]+(\w)")
_ZONE_WORD: Final = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)


class EventProblem(ValueError):
    """This entry is no event; the message says which key, and why."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a user did."""

    event_type: str
    """As Personalize names it."""

    user_id: str
    """Empty for a user who is not known; then the session tells them apart."""

    session_id: str
    sent_at: float
    """Unix seconds."""

    event_id: str
    item_id: str = ""
    event_value: float | None = None
    properties: str = ""
    """A JSON object as text; empty for none."""

    recommendation_id: str = ""
    impression: tuple[str, ...] = ()
    lifts: bool = False
    """It undoes what an earlier event of this type said of the item: a refund."""

    known_only: bool = False
    """It is used here and not sent on."""

    attribution_source: str = ""
    """Placement and variant that showed the item; Personalize's eventAttributionSource."""

    @property
    def owner(self) -> str:
        """Whose list it changes: a user who is not known is asked for by the session."""
        return self.user_id or self.session_id

    def packed(self) -> bytes:
        """As bytes to keep."""
        return orjson.dumps([getattr(self, name) for name in self.__slots__])

    @classmethod
    def unpacked(cls, packed: bytes) -> "Event":
        """From what `packed` made.

        Raises:
            EventProblem: The bytes are something else.
        """
        try:
            # An event that an earlier version kept has fewer fields; new ones come last and have defaults.
            given = dict(zip(cls.__slots__, orjson.loads(packed), strict=False))
            given["impression"] = tuple(given.get("impression", ()))
            return cls(**given)
        except (ValueError, TypeError) as error:
            raise EventProblem(f"not a kept event: {type(error).__name__}") from error


def events_of(body: object, now: float) -> Iterator[Event | EventProblem]:
    """The events of a body of `POST /events`, in order; a problem stands in the place of what is none.

    Raises:
        EventProblem: The body as a whole is wrong.
    """
    entries = body if isinstance(body, list) else [body]
    if len(entries) > MAX_ENTRIES:
        raise EventProblem(f"at most {MAX_ENTRIES} entries, not {len(entries)}")
    for entry in entries:
        if not isinstance(entry, dict):
            raise EventProblem("an entry is not a JSON object with userId and eventList")
        listed = entry.get("eventList")
        if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_EVENTS:
            raise EventProblem(f"eventList: is not a list of 1 to {MAX_EVENTS} events")
        for given in listed:
            try:
                yield event_of(entry, given, now)
            except EventProblem as problem:
                yield problem


def event_of(entry: Mapping[str, Any], given: object, now: float) -> Event:
    """An event of an entry's eventList.

    Raises:
        EventProblem: It is none.
    """
    if not isinstance(given, dict):
        raise EventProblem("is not a JSON object")
    user_id = text_of(entry, "userId")
    session_id = text_of(entry, "sessionId")
    if not user_id and not session_id:
        raise EventProblem("userId: is missing, and there is no sessionId")
    event_type = text_of(given, "eventType")
    if not event_type:
        raise EventProblem("eventType: is missing")
    if event_type.startswith("$"):
        raise EventProblem("eventType: begins with $")
    sent_at = moment_of(given.get("sentAt"), now, "sentAt")
    item_id = text_of(given, "itemId")
    return Event(
        event_type=event_type,
        user_id=user_id,
        session_id=session_id or session_of(user_id, sent_at),
        sent_at=sent_at,
        event_id=text_of(given, "eventId") or event_id_of(user_id or session_id, event_type, item_id, sent_at),
        item_id=item_id,
        event_value=number_of(given.get("eventValue"), "eventValue"),
        properties=properties_of(given.get("properties")),
        recommendation_id=text_of(given, "recommendationId", MAX_RECOMMENDATION_ID_CHARACTERS),
        impression=_impression(given.get("impression")),
        attribution_source=_attribution_source(given.get("metricAttribution")),
    )


def text_of(given: Mapping[str, Any], key: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    """A text of an object; empty where it is missing.

    Raises:
        EventProblem: It is no text, or too long.
    """
    value = given.get(key)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise EventProblem(f"{key}: is not text")
    if len(value) > most:
        raise EventProblem(f"{key}: at most {most} characters, not {len(value)}")
    return value.strip()


def number_of(value: object, key: str) -> float | None:
    """A finite number; None where it is missing.

    Raises:
        EventProblem: It is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise EventProblem(f"{key}: is not a number")
    return float(value)


def moment_of(value: object, now: float, key: str) -> float:
    """Unix seconds of a moment as seconds, milli-, micro- or nanoseconds or ISO 8601; now where it is missing.

    Raises:
        EventProblem: It is none, or lies in the future.
    """
    if value is None:
        return now
    moment = _moment_of_text(value, key) if isinstance(value, str) else _moment_of_number(value, key)
    if moment <= 0 or moment > now + MAX_FUTURE_SECONDS:
        raise EventProblem(f"{key}: is before 1970, or more than a day in the future")
    return moment


def _moment_of_number(value: object, key: str) -> float:
    moment = number_of(value, key) or 0.0
    # No event is of the year 5138: these are milliseconds, microseconds as in BigQuery, or nanoseconds.
    for _ in ("milli", "micro", "nano"):
        moment = moment / 1000 if moment > 1e11 else moment  # noqa: PLR2004  # Unix seconds of that year
    return moment


def _moment_of_text(text: str, key: str) -> float:
    with suppress(ValueError):
        return _moment_of_number(float(text), key)
    try:
        # BigQuery, Athena and Snowflake write the zone as a word.
        parsed = datetime.fromisoformat(_ZONE_WORD.sub("+00:00", text.strip()))
    except ValueError:
        raise EventProblem(f"{key}: is neither Unix seconds nor ISO 8601") from None
    if parsed.tzinfo is None:
        raise EventProblem(f"{key}: has no time zone; write Z behind it for UTC")
    return parsed.timestamp()


def properties_of(value: object) -> str:
    """Properties as the JSON text that Personalize wants.

    Raises:
        EventProblem: They are no object, or too long.
    """
    if value is None or value == {}:
        return ""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise EventProblem("properties: is not JSON") from None
    if not isinstance(value, dict):
        raise EventProblem("properties: is not a JSON object")
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise EventProblem("properties: objects stand in one another too deep") from None
    if len(text) > MAX_PROPERTIES_CHARACTERS:
        raise EventProblem(f"properties: at most {MAX_PROPERTIES_CHARACTERS} characters as JSON, not {len(text)}")
    return text


def _attribution_source(value: object) -> str:
    """What stands in Amazon's metricAttribution; empty where it is missing."""
    if value is None:
        return ""
    if not isinstance(value, dict):
        raise EventProblem("metricAttribution: is not a JSON object")
    return text_of(value, "eventAttributionSource", MAX_ATTRIBUTION_SOURCE_CHARACTERS)


def _impression(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise EventProblem("impression: is not a list of item ids")
    if len(value) > MAX_IMPRESSION:
        raise EventProblem(f"impression: at most {MAX_IMPRESSION} items, not {len(value)}")
    if any(len(one) > MAX_TEXT_CHARACTERS for one in value):
        raise EventProblem(f"impression: an id of more than {MAX_TEXT_CHARACTERS} characters")
    return tuple(value)


def camel_case(column: str) -> str:
    """A schema's column as Personalize's events API wants its name: `numRatings` for `NUM_RATINGS`."""
    if not column.isupper():
        return column
    return _WORD_START.sub(lambda match: match[1].upper(), column.lower())


def session_of(user_id: str, sent_at: float) -> str:
    """A session for a caller that knows none: one of a user and day."""
    day = int(sent_at // 86_400)
    return "day-" + blake2b(f"{day}:{user_id}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def event_id_of(owner: str, event_type: str, item_id: str, sent_at: float) -> str:
    """An id for an event whose caller gave none: the same event sent again has the same."""
    what = "\0".join((owner, event_type, item_id, f"{sent_at:.3f}"))
    return blake2b(what.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
