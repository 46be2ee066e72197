"""Which items of a list are shown: one pass over the candidates, every reason for a drop counted."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog

MAX_EXAMINED = 5_000
"""Candidates looked at for one answer; beyond that a filter that lets nothing through would hold the event
loop."""


MAX_LOOKED_UP = 200
"""Ids in one look-up of the catalogue."""


@dataclass(slots=True)
class Selection:
    """The rows to show with their ids, and what became of the others."""

    rows: list[CatalogRow] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    examined: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """What keeps an item out, besides being incomplete or shown already."""

    catalog: ItemCatalog
    exclude: Container[str]
    blocked: Container[str]
    shows: Callable[[CatalogRow], bool] | None = None
    """The operator's exclusion where it depends on the request; None where `CatalogRow.eligible` says it all."""
    bought: Container[str] = ()
    """Items that the user's own events keep out."""
    like_bought: Callable[[CatalogRow], bool] | None = None
    """Whether a row is another variant of such an item."""


def select(
    selection: Selection,
    candidates: Iterable[str],
    rules: Rules,
    wanted: int,
    has_room: Callable[[str, CatalogRow], bool] | None = None,
) -> None:
    """Add fitting candidates, in their order, until there are `wanted` rows or no more candidates.

    Ids that the selection holds already are passed over without being counted as dropped. Where given, `has_room` has
    the last word on each item that would be shown.
    """
    ids = iter(candidates)
    looked_up = wanted - len(selection.rows)
    while len(selection.rows) < wanted and selection.examined < MAX_EXAMINED:
        chunk = list(islice(_new_ids(selection, ids), looked_up))
        if not chunk:
            return
        for item_id, row in zip(chunk, rules.catalog.rows(chunk), strict=True):
            if len(selection.rows) == wanted:
                selection.seen.discard(item_id)
                continue
            selection.examined += 1
            reason = reason_to_drop(item_id, row, rules)
            if reason is None and row is not None and has_room is not None and not has_room(item_id, row):
                reason = "max_per"
            if reason is not None:
                selection.dropped[reason] = selection.dropped.get(reason, 0) + 1
            elif row is not None:
                selection.rows.append(row)
                selection.shown.append(item_id)
        # Much has been dropped: fewer and larger look-ups from here.
        looked_up = min(2 * looked_up + 1, MAX_LOOKED_UP)


def _new_ids(selection: Selection, ids: Iterator[str]) -> Iterator[str]:
    seen = selection.seen
    for item_id in ids:
        if item_id not in seen:
            seen.add(item_id)
            yield item_id


def reason_to_drop(item_id: str, row: CatalogRow | None, rules: Rules) -> str | None:
    """Why an item is not shown, in one word; None if it is."""
    if item_id in rules.exclude:
        return "requested"
    if item_id in rules.blocked:
        return "blocked"
    if row is None:
        return "unknown"
    if item_id in rules.bought or (rules.like_bought is not None and rules.like_bought(row)):
        return "bought"
    if not row.eligible or (rules.shows is not None and not rules.shows(row)):
        return "excluded"
    return None
