"""Items as JSON bytes. The catalogue keeps each item rendered, so that an answer is a join."""

import json
from collections.abc import Sequence

from service.catalog.ports import CatalogRow, ItemCatalog
from service.errors import DegradedReason, InvalidQuery
from service.models import RecommendationQuery, Source

BASE_COLUMNS = ("id", "url", "name", "price", "image")
"""In every item, whatever `fields` says."""


def check_fields(query: RecommendationQuery, catalog: ItemCatalog) -> None:
    """Raise if `fields` names a column that the catalogue lacks.

    Raises:
        InvalidQuery: Names the column and those that there are.
    """
    known = catalog.columns
    for name in query.fields:
        if name not in known and name not in BASE_COLUMNS:
            raise InvalidQuery("fields", f"no catalogue column {name!r}; there are: {', '.join(known) or 'none'}")


def render_items(rows: Sequence[CatalogRow], fields: Sequence[str], catalog: ItemCatalog) -> bytes:
    """A JSON array of items."""
    further = [name for name in fields if name not in BASE_COLUMNS]
    if not further:
        return b"[" + b",".join([row.fragment for row in rows]) + b"]"
    columns = list(catalog.columns)
    places = [(json.dumps(name), columns.index(name)) for name in dict.fromkeys(further) if name in columns]
    return b"[" + b",".join([_with_fields(row, places) for row in rows]) + b"]"


def render_object(
    items: bytes,
    count: int,
    source: Source,
    degraded_reason: DegradedReason | None,
    recommendation_id: str,
) -> bytes:
    """The `object` format around an array of items."""
    rest = json.dumps(
        {
            "count": count,
            "source": source,
            "degraded_reason": degraded_reason,
            "recommendation_id": recommendation_id or None,
        },
        ensure_ascii=False,
    )
    return b'{"items":' + items + b"," + rest[1:].encode()


def _with_fields(row: CatalogRow, places: list[tuple[str, int]]) -> bytes:
    extras = json.loads(row.extras)
    more = ",".join(f"{name}:{json.dumps(extras[place], ensure_ascii=False)}" for name, place in places)
    return row.fragment[:-1] + b"," + more.encode() + b"}" if more else row.fragment
