"""Items as JSON bytes. The catalogue keeps each item rendered, so that an answer is a join."""

import json
from collections.abc import Sequence

from service.catalog.item import ITEM_COLUMNS, CatalogRow
from service.catalog.ports import ItemCatalog
from service.errors import DegradedReason, InvalidQuery
from service.models import RecommendationQuery, Source


def check_fields(query: RecommendationQuery, catalog: ItemCatalog) -> None:
    """Raise if `fields` names a column that the catalogue lacks.

    Raises:
        InvalidQuery: Names the column and those that there are.
    """
    known = catalog.columns
    for name in query.fields:
        if name not in known and name not in ITEM_COLUMNS:
            raise InvalidQuery("fields", f"no catalogue column {name!r}; there are: {', '.join(known) or 'none'}")


def render_items(rows: Sequence[CatalogRow], fields: Sequence[str], catalog: ItemCatalog) -> bytes:
    """A JSON array of items."""
    further = [name for name in fields if name not in ITEM_COLUMNS]
    if not further:
        return b"[" + b",".join([row.fragment for row in rows]) + b"]"
    columns = list(catalog.columns)
    places = [(name, columns.index(name)) for name in dict.fromkeys(further) if name in columns]
    return b"[" + b",".join([row.with_further(places) for row in rows]) + b"]"


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
