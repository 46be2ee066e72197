"""Items as JSON bytes. The catalogue keeps each item rendered, so that an answer is a join."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import orjson

from service.attribution import Click, attributed
from service.catalog.item import ITEM_COLUMNS, CatalogRow
from service.catalog.ports import ItemCatalog
from service.errors import InvalidQuery
from service.models import RecommendationQuery

PROMOTED: Final = "promoted"
"""In `fields`: whether a promotion put the item into the list."""


def check_fields(query: RecommendationQuery, catalog: ItemCatalog) -> None:
    """Raise if `fields` names a column that the catalogue never had and cannot have.

    Raises:
        InvalidQuery: Names the column and those that there are.
    """
    known = catalog.columns
    if catalog.is_open:
        return
    for name in query.fields:
        if name not in known and name not in ITEM_COLUMNS and name != PROMOTED:
            there = f"there are: {', '.join(known) or 'none'}"
            raise InvalidQuery("fields", f"no catalogue column {name!r}; {there}", f"no such column; {there}")


def render_items(
    rows: Sequence[CatalogRow],
    fields: Sequence[str],
    catalog: ItemCatalog,
    *,
    item_ids: Sequence[str] = (),
    promoted: Collection[str] = (),
) -> bytes:
    """A JSON array of items.

    Args:
        rows: The items.
        fields: Further columns of each, by name.
        catalog: Where the rows are from.
        item_ids: Ids of the rows; only asked for where `promoted` is a field.
        promoted: Those that a promotion put into the list.
    """
    further = [name for name in fields if name not in ITEM_COLUMNS]
    if not further:
        return b"[" + b",".join([row.fragment for row in rows]) + b"]"
    columns = list(catalog.columns)
    asked = [name for name in dict.fromkeys(further) if name != PROMOTED or name in columns]
    places = [(name, columns.index(name) if name in columns else None) for name in asked]
    items = [row.with_further(places) for row in rows]
    if PROMOTED in further and PROMOTED not in columns:
        marks = (b',"promoted":true}' if one in promoted else b',"promoted":false}' for one in item_ids)
        items = [item[:-1] + mark for item, mark in zip(items, marks, strict=True)]
    return b"[" + b",".join(items) + b"]"


def render_object(items: bytes, **about: Any) -> bytes:  # noqa: ANN401  # JSON values
    """The `object` format: an array of items, and what there is to say about it."""
    return b'{"items":' + items + b"," + orjson.dumps(about)[1:]


def with_attribution(
    rows: Sequence[CatalogRow], clicks: Sequence[Click], link_to: Callable[[Click], str] | None
) -> list[CatalogRow]:
    """The rows with other URLs; the catalogue's own are as they were.

    Args:
        rows: Of an answer, in its order.
        clicks: What a click on each says.
        link_to: Makes a link that records it; None: the item's own URL says it.
    """
    found = []
    for row, click in zip(rows, clicks, strict=True):
        item = orjson.loads(row.fragment)
        item["url"] = attributed(item["url"], click.parameters) if link_to is None else link_to(click)
        found.append(CatalogRow(orjson.dumps(item), row.extras, row.eligible))
    return found
