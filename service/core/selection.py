"""Which items of a list are shown: one pass over the candidates, every reason for a drop counted."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from service.ports import CatalogRow, ItemCatalog

MOST_EXAMINED = 5_000
"""Candidates looked at for one answer; beyond that a filter that lets nothing through would hold the event
loop."""


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


def select(selection: Selection, candidates: Iterable[str], rules: Rules, wanted: int) -> None:
    """Add fitting candidates, in their order, until there are `wanted` rows or no more candidates.

    Ids that the selection holds already are passed over without being counted as dropped.
    """
    ids = iter(candidates)
    while len(selection.rows) < wanted and selection.examined < MOST_EXAMINED:
        chunk = list(islice(_new_ids(selection, ids), wanted - len(selection.rows)))
        if not chunk:
            return
        selection.examined += len(chunk)
        for item_id, row in zip(chunk, rules.catalog.rows(chunk), strict=True):
            reason = _reason_to_drop(item_id, row, rules)
            if reason is not None:
                selection.dropped[reason] = selection.dropped.get(reason, 0) + 1
            elif row is not None:
                selection.rows.append(row)
                selection.shown.append(item_id)


def _new_ids(selection: Selection, ids: Iterator[str]) -> Iterator[str]:
    seen = selection.seen
    for item_id in ids:
        if item_id not in seen:
            seen.add(item_id)
            yield item_id


def _reason_to_drop(item_id: str, row: CatalogRow | None, rules: Rules) -> str | None:
    if item_id in rules.exclude:
        return "requested"
    if item_id in rules.blocked:
        return "blocked"
    if row is None:
        return "unknown"
    if not row.eligible:
        return "excluded"
    return None
