"""Which items of a list are shown: one pass over the candidates, every reason for a drop counted."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field

from service.answers.exclusions import BoundExclusion
from service.catalog.item import CatalogRow
from service.catalog.ports import ItemCatalog

MAX_EXAMINED = 5_000
"""Candidates looked at for one answer; beyond that a filter that lets nothing through would hold the event
loop."""


MAX_HIDDEN = 10_000
"""Items that a set of values hides, as far as they are kept for the next request."""


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
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each item is not shown."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What keeps an item out, besides being incomplete or shown already."""

    catalog: ItemCatalog
    exclude: Container[str]
    blocked: Container[str]
    exclusion: BoundExclusion | None = None
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
        chunk = _next_ids(selection, ids, rules, looked_up)
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
                selection.reasons[item_id] = reason
            elif row is not None:
                selection.rows.append(row)
                selection.shown.append(item_id)
        # Much has been dropped: fewer and larger look-ups from here.
        looked_up = min(2 * looked_up + 1, MAX_LOOKED_UP)


def _next_ids(selection: Selection, ids: Iterator[str], rules: Rules, count: int) -> list[str]:
    """The next new ids, at most so many.

    Those that are known to be hidden are counted as if they were looked up, as excluded whatever else keeps them out.
    """
    seen, exclusion = selection.seen, rules.exclusion
    hides = exclusion.hides if exclusion is not None else None
    hidden = exclusion.hidden if exclusion is not None else set()
    most_hidden, count_hidden = MAX_EXAMINED - selection.examined, 0
    found: list[str] = []
    for item_id in ids:
        if item_id in seen:
            continue
        seen.add(item_id)
        if item_id not in hidden:
            if hides is None or not hides(item_id):
                found.append(item_id)
                if len(found) == count:
                    break
                continue
            if len(hidden) < MAX_HIDDEN:
                hidden.add(item_id)
        count_hidden += 1
        if count_hidden == most_hidden:
            break
    if count_hidden:
        selection.examined += count_hidden
        selection.dropped["excluded"] = selection.dropped.get("excluded", 0) + count_hidden
    return found


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
    if not row.eligible or (rules.exclusion is not None and not rules.exclusion.shows(item_id, row)):
        return "excluded"
    return None
