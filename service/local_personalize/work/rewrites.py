"""Jobs on the rows of a group: an export writes them elsewhere, a deletion leaves users out."""

import csv
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any, Final

import orjson

from service.local_personalize.control.avro import parse_schema
from service.local_personalize.training.rows import PUT_INTERACTIONS, PUT_ITEMS, PUT_USERS
from service.local_personalize.work.failure import JobFailed
from service.local_personalize.work.places import list_files, open_text, write_text

_PUT_FILES: Final = {"INTERACTIONS": PUT_INTERACTIONS, "ITEMS": PUT_ITEMS, "USERS": PUT_USERS}
_WITH_USERS: Final = ("INTERACTIONS", "USERS")
_EVENT_FIELDS: Final = {
    "USER_ID": "userId",
    "ITEM_ID": "itemId",
    "TIMESTAMP": "timestamp",
    "EVENT_TYPE": "eventType",
    "EVENT_VALUE": "eventValue",
}


def export_rows(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Write the dataset's rows, bulk ones, put ones or all, as one CSV file.

    Raises:
        JobFailed: The output cannot be written.
    """
    del directory
    dataset = job["datasets"][job["datasetType"]]
    names = [column.name for column in parse_schema(dataset["schema"])]
    text = StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", restval="")
    writer.writeheader()
    if job["mode"] in ("BULK", "ALL"):
        for name in dataset["files"]:
            with Path(name).open(encoding="utf-8", newline="") as file:
                writer.writerows(csv.DictReader(file))
    if job["mode"] in ("PUT", "ALL"):
        writer.writerows(_put_rows(job))
    output = job["output"] if job["output"].endswith("/") else f"{job['output']}/"
    write_text(f"{output}{job['datasetType'].lower()}.csv", text.getvalue())
    return {}


def delete_users(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Write the bulk files anew without the users, and take their lines out of what was put.

    Raises:
        JobFailed: The list of users cannot be read.
    """
    users = {user_id for location in list_files(job["location"]) for user_id in _user_ids(location)}
    deleted = 0
    files: dict[str, str] = {}
    for dataset_type in _WITH_USERS:
        for place, name in enumerate(job["datasets"].get(dataset_type, {}).get("files", ())):
            kept = directory / f"{dataset_type.lower()}{place}.csv"
            deleted += _without(Path(name), kept, users)
            files[name] = str(kept)
    for name, field in ((PUT_INTERACTIONS, "userId"), (PUT_USERS, "USER_ID")):
        deleted += _without_lines(Path(job["put"]) / name, field, users)
    return {"deleted": deleted, "files": files}


def _put_rows(job: dict[str, Any]) -> Iterable[dict[str, Any]]:
    path = Path(job["put"]) / _PUT_FILES[job["datasetType"]]
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        row = orjson.loads(line)
        is_event = job["datasetType"] == "INTERACTIONS"
        yield {column: row.get(name, "") for column, name in _EVENT_FIELDS.items()} if is_event else row


def _user_ids(location: str) -> list[str]:
    with open_text(location) as text:
        reader = csv.DictReader(text)
        if "USER_ID" not in (reader.fieldnames or ()):
            raise JobFailed("Input CSV is missing the following columns: [USER_ID]")
        return [row["USER_ID"] for row in reader]


def _without(source: Path, target: Path, users: set[str]) -> int:
    deleted = 0
    with (
        source.open(encoding="utf-8", newline="") as read,
        target.open("w", encoding="utf-8", newline="") as written,
    ):
        reader = csv.DictReader(read)
        writer = csv.DictWriter(written, list(reader.fieldnames or ()))
        writer.writeheader()
        for row in reader:
            if row["USER_ID"] in users:
                deleted += 1
            else:
                writer.writerow(row)
    return deleted


def _without_lines(path: Path, field: str, users: set[str]) -> int:
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if orjson.loads(line)[field] not in users]
    path.write_bytes(b"".join(kept))
    return len(lines) - len(kept)
