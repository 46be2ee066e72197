"""The rows of a dataset group: what imports wrote, and on top what PutEvents and its siblings brought since."""

import csv
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import orjson

from service.local_personalize.data import Dataset, Interaction

PUT_INTERACTIONS = "interactions.jsonl"
PUT_ITEMS = "items.jsonl"
PUT_USERS = "users.jsonl"


class Row(NamedTuple):
    """One interaction."""

    user_id: str
    item_id: str
    timestamp: int
    event_type: str
    event_value: float | None


def read_interactions(group: dict[str, Any]) -> Iterator[Row]:
    """All interactions of a group, in the order in which they came.

    Args:
        group: As `control.group_data.group_files` gives it.
    """
    for row in _csv_rows(group, "INTERACTIONS"):
        value = row.get("EVENT_VALUE")
        yield Row(
            intern(row["USER_ID"]),
            intern(row["ITEM_ID"]),
            int(row["TIMESTAMP"]),
            intern(row.get("EVENT_TYPE") or ""),
            float(value) if value else None,
        )
    for put in _put_rows(group, PUT_INTERACTIONS):
        yield Row(put["userId"], put["itemId"], put["timestamp"], put["eventType"], put.get("eventValue"))


def read_items(group: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Columns of each item as text, by upper-case name; a later row of the same item replaces an earlier one."""
    return _by_id(group, "ITEMS", "ITEM_ID", PUT_ITEMS)


def read_users(group: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The same of users."""
    return _by_id(group, "USERS", "USER_ID", PUT_USERS)


def read_group(group: dict[str, Any]) -> Dataset:
    """All of a group, as filters and campaigns ask about it."""
    histories: dict[str, list[Interaction]] = {}
    for row in read_interactions(group):
        histories.setdefault(row.user_id, []).append(Interaction(row.item_id, row.timestamp, row.event_type))
    for history in histories.values():
        history.sort(key=lambda one: one.timestamp)
    return Dataset(histories=histories, items=read_items(group), users=read_users(group))


def _by_id(group: dict[str, Any], dataset_type: str, id_column: str, put_file: str) -> dict[str, dict[str, str]]:
    rows = {intern(row[id_column]): row for row in _csv_rows(group, dataset_type)}
    rows.update((row[id_column], row) for row in _put_rows(group, put_file))
    return rows


def _csv_rows(group: dict[str, Any], dataset_type: str) -> Iterator[dict[str, str]]:
    for name in group["datasets"].get(dataset_type, {}).get("files", ()):
        with Path(name).open(encoding="utf-8", newline="") as file:
            # Rows as wide as the header, since the import has seen to that. A DictReader takes three times as long.
            rows = csv.reader(file)
            header = next(rows, [])
            yield from (dict(zip(header, row, strict=False)) for row in rows if row)


def read_put_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows that PutEvents or one of its siblings wrote into a file; none without the file."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                yield orjson.loads(line)


def _put_rows(group: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    return read_put_rows(Path(group["put"]) / name)
