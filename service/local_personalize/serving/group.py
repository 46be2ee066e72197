"""The live data of a dataset group: what was imported, and what PutEvents and its siblings brought since."""

import asyncio
from bisect import insort
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from service.local_personalize.control.group_data import group_files
from service.local_personalize.control.store import Store
from service.local_personalize.data import Dataset, Interaction
from service.local_personalize.events import SeenIds
from service.local_personalize.training.rows import PUT_INTERACTIONS, PUT_ITEMS, PUT_USERS, read_group, read_put_rows


class LiveGroup:
    """The rows of a group, held in memory and written down as they come.

    Args:
        dataset: The rows there are.
        directory: Takes further ones.
    """

    def __init__(self, dataset: Dataset, directory: Path) -> None:
        self.dataset = dataset
        self._directory = directory
        self._visited: set[str] | None = None
        self._latest = 0
        self._seen: SeenIds | None = None

    def new_items(self, age_seconds: float) -> list[str]:
        """Items that nobody came to, made so long ago at most, counted back from the latest interaction.

        An item without CREATION_TIMESTAMP counts as new.
        """
        known = self._known()
        limit = self._latest - age_seconds
        new = (item for item in self.dataset.items if item not in known)
        return [item for item in new if float(self.dataset.items[item].get("CREATION_TIMESTAMP") or limit) >= limit]

    def _known(self) -> set[str]:
        if self._visited is None:
            rows = [row for history in self.dataset.histories.values() for row in history]
            self._visited = {row.item_id for row in rows}
            self._latest = max((row.timestamp for row in rows), default=0)
        return self._visited

    def add_event(self, user_id: str, event: Mapping[str, Any]) -> bool:
        """One more interaction, as PutEvents brings it; whether it counts, as no event of its id came before."""
        if not self._seen_ids().add(event.get("eventId")):
            return False
        if item_id := event.get("itemId"):
            timestamp, event_type = int(event["sentAt"]), event["eventType"]
            history = self.dataset.histories.setdefault(user_id, [])
            self._known().add(item_id)
            self._latest = max(self._latest, timestamp)
            insort(history, Interaction(item_id, timestamp, event_type), key=lambda row: row.timestamp)
            row = {"userId": user_id, "itemId": item_id, "timestamp": timestamp, "eventType": event_type}
            further = {name: event[name] for name in ("eventValue", "eventId") if event.get(name) is not None}
            self._append(PUT_INTERACTIONS, row | further)
        return True

    def _seen_ids(self) -> SeenIds:
        if self._seen is None:
            self._seen = SeenIds()
            for row in read_put_rows(self._directory / PUT_INTERACTIONS):
                self._seen.add(row.get("eventId"))
        return self._seen

    def add_item(self, columns: dict[str, str]) -> None:
        """A new item, or new columns of one."""
        self.dataset.items[columns["ITEM_ID"]] = columns
        self._append(PUT_ITEMS, columns)

    def add_user(self, columns: dict[str, str]) -> None:
        """A new user, or new columns of one."""
        self.dataset.users[columns["USER_ID"]] = columns
        self._append(PUT_USERS, columns)

    def _append(self, name: str, row: dict[str, Any]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / name).open("ab") as file:
            file.write(orjson.dumps(row) + b"\n")


class LiveGroups:
    """The live groups by ARN, read when first asked for and again after an import.

    Args:
        store: Knows the files.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups: dict[str, tuple[list[Any], LiveGroup]] = {}
        self._lock = asyncio.Lock()

    async def get(self, arn: str) -> LiveGroup:
        """The group of this ARN; reading it takes about a second for a million rows, off the event loop."""
        async with self._lock:
            files = group_files(self._store, arn)
            version = sorted((name, tuple(one["files"])) for name, one in files["datasets"].items())
            kept = self._groups.get(arn)
            if kept is None or kept[0] != version:
                dataset = await asyncio.to_thread(read_group, files)
                kept = (version, LiveGroup(dataset, Path(files["put"])))
                self._groups[arn] = kept
            return kept[1]
