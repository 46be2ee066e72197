"""Whether there is enough to learn from, and whether the datasets agree."""

from collections.abc import Iterator, Mapping
from typing import Final

from service.pipeline.data.columns import metadata_of
from service.pipeline.data.findings import Finding
from service.pipeline.data.history import History
from service.pipeline.data.limits import (
    GOOD_INTERACTIONS,
    GOOD_RETURNING_USERS,
    MAX_EVENT_TYPES_AND_METADATA,
    MAX_ITEMS,
    MAX_ITEMS_V2,
    MIN_INTERACTIONS,
    MIN_RETURNING_SHARE,
    MIN_RETURNING_USERS,
    DatasetKind,
)
from service.pipeline.data.tables import Dataset, Workspace

_KNOWN: Final[Mapping[DatasetKind, tuple[str, str, str]]] = {
    "items": ("known_items", "ITEM_ID", "item"),
    "users": ("known_users", "USER_ID", "user"),
}


def amount_findings(dataset: Dataset, history: History) -> Iterator[Finding]:
    """Too little to train on."""
    file = dataset.files[0].staged.name
    if history.interactions < MIN_INTERACTIONS:
        yield Finding(
            code="too-few-interactions", level="error", dataset="interactions", file=file, count=history.interactions,
            message=f"there are {history.interactions:,} interactions, and Personalize needs {MIN_INTERACTIONS:,}",
            remedy="Export a longer time, or more types of events",
        )  # fmt: skip
    if history.returning_users < MIN_RETURNING_USERS:
        yield Finding(
            code="too-few-returning-users", level="error", dataset="interactions", file=file,
            count=history.returning_users,
            message=f"{history.returning_users:,} users have two interactions or more, and Personalize needs"
            f" {MIN_RETURNING_USERS}",
            remedy="Export a longer time; check that USER_ID is the same at each visit",
        )  # fmt: skip
    elif history.returning_users < MIN_RETURNING_SHARE * history.users:
        yield Finding(
            code="too-small-share-returns", level="error", dataset="interactions", file=file,
            count=history.returning_users,
            message=f"{history.returning_users:,} of {history.users:,} users have two interactions or more, and"
            " Personalize needs 1% of all",
            remedy="Leave visitors with one interaction out, or export a longer time",
        )  # fmt: skip
    elif history.interactions >= MIN_INTERACTIONS and (
        history.interactions < GOOD_INTERACTIONS or history.returning_users < GOOD_RETURNING_USERS
    ):
        yield Finding(
            code="little-data", level="note", dataset="interactions", file=file, count=history.interactions,
            message=f"{history.interactions:,} interactions and {history.returning_users:,} returning users train, but"
            f" Amazon advises {GOOD_INTERACTIONS:,} and {GOOD_RETURNING_USERS:,}",
            remedy="Compare with popularity-count before you pay for a campaign",
        )  # fmt: skip
    if history.items > MAX_ITEMS:
        most = MAX_ITEMS_V2 if history.items > MAX_ITEMS_V2 else MAX_ITEMS
        yield Finding(
            code="many-items", level="warning", dataset="interactions", file=file, count=history.items,
            message=f"{history.items:,} items have interactions, and a model considers {most:,}",
            remedy="Use a v2 recipe, which takes 5,000,000, or leave old items out",
        )  # fmt: skip
    if history.duplicates and history.first_duplicate is not None:
        place, line = dataset.place(history.first_duplicate)
        yield Finding(
            code="duplicate-rows", level="warning", dataset="interactions", file=place, line=line,
            count=history.duplicates,
            message=f"{history.duplicates:,} rows repeat another in user, item, type and second",
            remedy="Remove them, unless the user did it twice within a second; `--fix DIR` does",
        )  # fmt: skip


def event_type_findings(dataset: Dataset, history: History) -> Iterator[Finding]:
    """More types than Personalize takes, and types in two spellings."""
    file = dataset.files[0].staged.name
    types = history.event_types
    metadata = metadata_of("interactions", dataset.names)
    if len(types) + len(metadata) > MAX_EVENT_TYPES_AND_METADATA and len(types) > 1:
        yield Finding(
            code="too-many-event-types", level="error", dataset="interactions", file=file, column="EVENT_TYPE",
            count=len(types),
            message=f"{len(types)} event types and {len(metadata)} metadata columns are more than"
            f" {MAX_EVENT_TYPES_AND_METADATA} together: {', '.join(list(types)[:15])}",
            remedy="Leave out what no solution needs, or give several types one name",
        )  # fmt: skip
    spellings: dict[str, list[str]] = {}
    for name in types:
        spellings.setdefault(name.lower(), []).append(name)
    for same in spellings.values():
        if len(same) > 1:
            yield Finding(
                code="event-type-spellings", level="warning", dataset="interactions", file=file, column="EVENT_TYPE",
                count=sum(types[name] for name in same[1:]),
                message=f"{' and '.join(same)} are two types to a solution, and one to a filter",
                remedy=f"Write one; `--fix DIR` writes {same[0]}",
            )  # fmt: skip


def wanted_event_findings(dataset: Dataset, history: History, wanted: Mapping[str, str]) -> Iterator[Finding]:
    """Solutions that train on one type of event of which there are too few.

    Args:
        dataset: The interactions.
        history: Their figures.
        wanted: Event types by what trains on them.
    """
    for what, event_type in wanted.items():
        count = history.event_types.get(event_type, 0)
        if count < MIN_INTERACTIONS:
            yield Finding(
                code="too-few-of-event-type", level="error", dataset="interactions", count=count, column="EVENT_TYPE",
                file=dataset.files[0].staged.name,
                message=f"{what} trains only on {event_type}, of which there are {count:,}; Personalize needs"
                f" {MIN_INTERACTIONS:,}",
                remedy=f"There are {', '.join(f'{name} {n:,}' for name, n in history.event_types.items()) or 'none'}",
            )  # fmt: skip


def catalog_findings(workspace: Workspace, dataset: Dataset, *, has_interactions: bool) -> Iterator[Finding]:
    """Ids that stand twice in a catalogue, and ids of interactions that are in none."""
    known, column, word = _KNOWN[dataset.kind]
    [(repeated, first)] = workspace.ask(
        f"SELECT coalesce(sum(n - 1), 0), min(r) FROM (SELECT count(*) AS n, max(rowid) AS r FROM {dataset.kind}"
        f" WHERE trim({column}) <> '' GROUP BY trim({column}) HAVING count(*) > 1)"
    )
    if repeated:
        file, line = dataset.place(first)
        yield Finding(
            code="duplicate-id", level="warning", dataset=dataset.kind, file=file, line=line, column=column,
            count=int(repeated), message=f"{int(repeated):,} rows repeat the id of another, and one row counts",
            remedy="Keep one row an id; `--fix DIR` keeps the last",
        )  # fmt: skip
    if not has_interactions:
        return
    [(missing, events, example)] = workspace.ask(
        f"SELECT count(*), coalesce(sum(n), 0), min(id) FROM {known} WHERE id NOT IN"
        f" (SELECT trim({column}) FROM {dataset.kind} WHERE {column} IS NOT NULL)"
    )
    [(all_known,)] = workspace.ask(f"SELECT count(*) FROM {known}")
    if missing and missing == all_known:
        yield Finding(
            code=f"no-{word}-known", level="error", dataset=dataset.kind, file=dataset.files[0].staged.name,
            column=column, count=missing,
            message=f"not one of the {missing:,} {word}s of the interactions is here, {example!r} for one",
            remedy="Check that both files write the same ids",
        )  # fmt: skip
    elif missing:
        yield Finding(
            code=f"{word}-not-known", level="warning", dataset=dataset.kind, file=dataset.files[0].staged.name,
            column=column, count=missing,
            message=f"{missing:,} of {all_known:,} {word}s of the interactions are not here, {example!r} for one; they"
            f" have {int(events):,} interactions",
            remedy=f"Add them, or Personalize knows nothing of these {word}s but their interactions",
        )  # fmt: skip
