"""What is known of a user besides events: columns of Personalize's users dataset, on their way to PutUsers.

They take the way of events: kept safe before the answer, sent on by the outbox, again after a failure. Nothing here
uses them.
"""

from typing import Final

import orjson

from service.events.event import Event, EventProblem, camel_case, event_id_of
from service.events.intake import EventRecorder
from service.events.known import KnownEvents
from service.events.ports import EventStore

USER_TRAITS: Final = "$user"
"""Stands in the place of an event's type. No event that is sent in may begin so."""

MAX_PROPERTIES_CHARACTERS: Final = 24_000
"""Longest properties of a user, as JSON. Source: Personalize API reference, PutUsers."""

MAX_ID_CHARACTERS: Final = 256


class UserTraits:
    """Takes users' columns in.

    Args:
        store: Keeps them until they are sent on.
        known: Names users in the store.
        recorder: Counts.
    """

    def __init__(self, store: EventStore, *, known: KnownEvents, recorder: EventRecorder) -> None:
        self._store = store
        self._known = known
        self._recorder = recorder

    async def take(self, user_id: str, body: object, now: float) -> None:
        """Keep a user's columns; safe when this returns. They replace those that Personalize has.

        Raises:
            EventProblem: The body is no object of columns, or too long.
            SharedStateUnavailable: It is not known to be safe.
        """
        event = traits_of(user_id, body, now)
        await self._store.accept([(self._known.prefix(user_id), event)])
        self._recorder.events("accepted", 1)


def traits_of(user_id: str, body: object, now: float) -> Event:
    """A user's columns, `{"AGE": 31, "memberClass": "gold"}`, as what the outbox sends on.

    Raises:
        EventProblem: They are none, or too long.
    """
    if not isinstance(body, dict) or not body:
        raise EventProblem('is not a JSON object of a user\'s columns, such as {"AGE": 31}')
    for name, value in body.items():
        if isinstance(value, dict | list):
            raise EventProblem(f"{name[:40]}: is neither text, number, true, false nor null")
    text = orjson.dumps({camel_case(name): value for name, value in body.items() if value is not None}).decode()
    if len(text) > MAX_PROPERTIES_CHARACTERS:
        raise EventProblem(f"at most {MAX_PROPERTIES_CHARACTERS:,} characters as JSON, not {len(text):,}")
    return Event(
        event_type=USER_TRAITS,
        user_id=user_id,
        session_id=USER_TRAITS,
        sent_at=now,
        # The same columns may be set, changed and set again: each is an update of its own.
        event_id=event_id_of(user_id, USER_TRAITS, text, now),
        properties=text,
    )
