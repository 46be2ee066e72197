"""Schemas of datasets: Avro's JSON, as far as Personalize takes it.

Source: https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from service.local_personalize.control.refused import invalid_input

INTERACTIONS: Final = "INTERACTIONS"
ITEMS: Final = "ITEMS"
USERS: Final = "USERS"
ACTIONS: Final = "ACTIONS"
ACTION_INTERACTIONS: Final = "ACTION_INTERACTIONS"

REQUIRED: Final[dict[str, dict[str, str]]] = {
    INTERACTIONS: {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"},
    ITEMS: {"ITEM_ID": "string"},
    USERS: {"USER_ID": "string"},
    ACTIONS: {"ACTION_ID": "string"},
    ACTION_INTERACTIONS: {"USER_ID": "string", "ACTION_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"},
}
"""Columns that each type of dataset must have."""

DOMAIN_REQUIRED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "ECOMMERCE": {INTERACTIONS: ("EVENT_TYPE",), ITEMS: ("PRICE", "CATEGORY_L1")},
    "VIDEO_ON_DEMAND": {INTERACTIONS: ("EVENT_TYPE",), ITEMS: ("GENRES", "CREATION_TIMESTAMP")},
}
"""Columns that a domain wants besides."""

MAX_METADATA: Final = {INTERACTIONS: 5, ITEMS: 100, USERS: 25, ACTIONS: 10, ACTION_INTERACTIONS: 10}
"""Columns of one's own. Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""

RESERVED: Final = {
    "EVENT_TYPE": "string",
    "EVENT_VALUE": "float",
    "IMPRESSION": "string",
    "RECOMMENDATION_ID": "string",
    "EVENT_ATTRIBUTION_SOURCE": "string",
    "CREATION_TIMESTAMP": "long",
}
"""Columns whose type and meaning Amazon gives."""

TYPES: Final = frozenset({"float", "double", "int", "long", "string", "boolean", "null"})

_BY_NAME: Final = {"INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS"}


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a schema."""

    name: str
    types: frozenset[str]
    is_categorical: bool = False
    is_textual: bool = False

    @property
    def is_optional(self) -> bool:
        """Whether a cell may be empty."""
        return "null" in self.types


def parse_schema(text: str) -> list[Column]:
    """The columns of a schema.

    Raises:
        Refusal: It is none that Personalize takes.
    """
    try:
        schema = orjson.loads(text)
        fields = schema["fields"]
        is_record = schema["type"] == "record" and isinstance(schema["name"], str)
        columns = [_column(field) for field in fields]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise invalid_input("The schema is not an Avro record with a name and fields.") from error
    if not is_record or not columns:
        raise invalid_input("The schema is not an Avro record with a name and fields.")
    names = [column.name for column in columns]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise invalid_input(f"The schema has the field {double} twice.")
    for column in columns:
        if unknown := column.types - TYPES:
            raise invalid_input(f"The field {column.name} has the type {min(unknown)}, which is not supported.")
        wanted = RESERVED.get(column.name)
        if wanted is not None and wanted not in column.types and not (wanted == "float" and "double" in column.types):
            raise invalid_input(f"The reserved field {column.name} must be of type {wanted}.")
    if sum(column.is_textual for column in columns) > 1:
        raise invalid_input("The schema has more than one textual field.")
    return columns


def _column(field: dict[str, Any]) -> Column:
    given = field["type"]
    types = frozenset(given if isinstance(given, list) else [given])
    return Column(
        name=str(field["name"]),
        types=types,
        is_categorical=field.get("categorical") is True,
        is_textual=field.get("textual") is True,
    )


def type_of(text: str) -> str | None:
    """The type of dataset that a valid schema names, in capitals; None for another name."""
    name = str(orjson.loads(text)["name"]).upper()
    return name if name in _BY_NAME else None


def check_for(dataset_type: str, columns: list[Column], domain: str | None) -> None:
    """Let a schema pass that has what a type of dataset needs.

    Raises:
        Refusal: It lacks a column, or has one too many.
    """
    by_name = {column.name: column for column in columns}
    for name, kind in REQUIRED[dataset_type].items():
        if name not in by_name or kind not in by_name[name].types or by_name[name].is_optional:
            raise invalid_input(f"The schema of the {dataset_type} dataset needs the field {name} of type {kind}.")
    for name in DOMAIN_REQUIRED.get(domain or "", {}).get(dataset_type, ()):
        if name not in by_name:
            raise invalid_input(f"The schema of the {dataset_type} dataset needs the field {name} in this domain.")
    own = [name for name in by_name if name not in REQUIRED[dataset_type]]
    if dataset_type in (ITEMS, USERS, ACTIONS) and not own:
        raise invalid_input(f"The schema of the {dataset_type} dataset needs at least one metadata field.")
    metadata = [name for name in own if name not in RESERVED]
    if len(metadata) > MAX_METADATA[dataset_type]:
        raise invalid_input(
            f"The schema of the {dataset_type} dataset has {len(metadata)} metadata fields; "
            f"at most {MAX_METADATA[dataset_type]} are allowed."
        )
