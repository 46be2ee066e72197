"""Rows of an interactions table, as Personalize imports them, as events.

Source: Amazon Personalize developer guide, Item interactions dataset: schema requirements and reserved fields.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from service.events.event import MAX_RECOMMENDATION_ID_CHARACTERS, Event, EventProblem, camel_case, event_of

_FIELDS: Final[Mapping[str, str]] = {
    "ITEM_ID": "itemId",
    "EVENT_TYPE": "eventType",
    "EVENT_ID": "eventId",
    "TIMESTAMP": "sentAt",
    "RECOMMENDATION_ID": "recommendationId",
}
"""Columns of the table, and what PutEvents calls them; columns that are not named here become properties."""

_OTHERS: Final = frozenset({"USER_ID", "SESSION_ID", "EVENT_VALUE", "IMPRESSION", "EVENT_ATTRIBUTION_SOURCE"})


class InteractionColumns:
    """How a table's rows become events.

    Args:
        names: Columns, in the order of the cells.
        event_type: Of rows without one.

    Raises:
        EventProblem: A column is missing without which no row is an event.
    """

    def __init__(self, names: Sequence[str], *, event_type: str = "") -> None:
        self._names = [name.strip().upper() for name in names]
        self._event_type = event_type
        missing = [name for name in ("USER_ID", "ITEM_ID", "TIMESTAMP") if name not in self._names]
        if missing:
            raise EventProblem(f"has no column {' and no column '.join(missing)}; its columns: {', '.join(names[:20])}")
        if "EVENT_TYPE" not in self._names and not event_type:
            raise EventProblem("has no column EVENT_TYPE; say with --event-type what its rows are")

    def event(self, cells: Sequence[object], now: float) -> Event:
        """The event of a row; it has the same id whenever it is read.

        Raises:
            EventProblem: It is none.
        """
        row = {
            name: str(cell)
            for name, cell in zip(self._names, cells, strict=False)
            if name and cell is not None and str(cell) != ""
        }
        for name in ("USER_ID", "ITEM_ID", "TIMESTAMP"):
            if name not in row:
                raise EventProblem(f"{name}: is missing")
        given: dict[str, object] = {ours: row[name] for name, ours in _FIELDS.items() if name in row}
        given.setdefault("eventType", self._event_type)
        if "EVENT_VALUE" in row:
            given["eventValue"] = _number(row["EVENT_VALUE"])
        if "IMPRESSION" in row:
            given["impression"] = row["IMPRESSION"].split("|")
        if len(row.get("RECOMMENDATION_ID", "")) > MAX_RECOMMENDATION_ID_CHARACTERS:
            del given["recommendationId"]
        properties = {
            camel_case(name): cell for name, cell in row.items() if name not in _FIELDS and name not in _OTHERS
        }
        given["properties"] = properties
        return event_of({"userId": row["USER_ID"], "sessionId": row.get("SESSION_ID")}, given, now)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EventProblem("EVENT_VALUE: is not a number") from None
