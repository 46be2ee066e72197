"""One parser of `/recommendations`' query string, for the route and the hit lane."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, unquote_plus, unquote_to_bytes

from service.constants import (
    DEFAULT_NUM_RESULTS,
    MAX_EXCLUDED_IDS,
    MAX_FIELDS,
    MAX_FILTER_NAME_CHARACTERS,
    MAX_FILTER_VALUE_CHARACTERS,
    MAX_FILTER_VALUES,
    MAX_ID_CHARACTERS,
    MAX_NUM_RESULTS,
)
from service.errors import InvalidQuery
from service.models import RecommendationQuery

USER_ID_NAMES = ("user_id", "userID", "userId")
NUM_RESULTS_NAMES = ("num_results", "numResults")
FILTER_VALUE_PREFIX = "filter_values."

_MAX_PARAMETERS = 1_000
_FILTER_NAME = re.compile(rf"[A-Za-z0-9_]{{1,{MAX_FILTER_NAME_CHARACTERS}}}")

PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "user_id",
        "in": "query",
        "required": True,
        "allowEmptyValue": True,
        "description": "Personalize's userId; also `userID`, `userId`. Blank: the non-personalised list.",
        "schema": {"type": "string", "maxLength": MAX_ID_CHARACTERS},
    },
    {
        "name": "num_results",
        "in": "query",
        "description": "Items wanted; also `numResults`.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_NUM_RESULTS,
            "default": DEFAULT_NUM_RESULTS,
        },
    },
    {
        "name": "exclude",
        "in": "query",
        "description": f"Item ids never to show, comma-separated or repeated; at most {MAX_EXCLUDED_IDS}.",
        "schema": {"type": "string"},
    },
    {
        "name": "fields",
        "in": "query",
        "description": f"Further catalogue columns to put into each item, comma-separated; at most {MAX_FIELDS}.",
        "schema": {"type": "string"},
    },
    {
        "name": "filter_values.NAME",
        "in": "query",
        "description": "Value of the placeholder `$NAME` of the filters in force.",
        "schema": {"type": "string", "maxLength": MAX_FILTER_VALUE_CHARACTERS},
    },
    {
        "name": "format",
        "in": "query",
        "schema": {"type": "string", "enum": ["array", "object", ""], "default": "array"},
    },
]
"""The same in OpenAPI's words."""


def parse_query(query_string: bytes) -> RecommendationQuery:
    """What the caller asks for; unknown parameters are ignored, of a repeated one the first counts.

    Raises:
        InvalidQuery: Names the field and the bound.
    """
    try:
        pairs = parse_qsl(
            query_string.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise InvalidQuery(_undecodable(query_string), "is not UTF-8") from None
    except ValueError:
        raise InvalidQuery("query", f"at most {_MAX_PARAMETERS} parameters") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(name, value)
    return RecommendationQuery(
        user_id=_user_id(values),
        num_results=_num_results(values),
        exclude=frozenset(_ids("exclude", _listed(pairs, "exclude"))),
        fields=_fields(_listed(pairs, "fields")),
        filter_values=_filter_values(pairs),
        answer_format=_format(values.get("format", "")),
    )


def _undecodable(query_string: bytes) -> str:
    """The name of the first parameter whose value is not UTF-8; `query` if a name is not."""
    for pair in query_string.split(b"&"):
        name, _, value = pair.partition(b"=")
        if not is_utf8(name):
            break
        if not is_utf8(value):
            return unquote_plus(name.decode())[: len(FILTER_VALUE_PREFIX) + MAX_FILTER_NAME_CHARACTERS]
    return "query"


def is_utf8(escaped: bytes) -> bool:
    """Whether percent-encoded bytes are text."""
    try:
        unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        return False
    return True


def _user_id(values: Mapping[str, str]) -> str:
    for name in USER_ID_NAMES:
        if name in values:
            user_id = values[name]
            if len(user_id) > MAX_ID_CHARACTERS:
                raise InvalidQuery(name, f"at most {MAX_ID_CHARACTERS} characters, not {len(user_id)}")
            return user_id if user_id.strip() else ""
    raise InvalidQuery("user_id", "is missing; send it blank for the non-personalised list")


def _num_results(values: Mapping[str, str]) -> int:
    for name in NUM_RESULTS_NAMES:
        text = values.get(name, "").strip()
        if text:
            # Not int(): it takes "1_0", "+5" and digits of other scripts.
            if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_NUM_RESULTS:
                raise InvalidQuery(name, f"a whole number from 1 to {MAX_NUM_RESULTS}")
            return int(text)
    return DEFAULT_NUM_RESULTS


def _listed(pairs: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    found = (part.strip() for name, value in pairs if name == wanted for part in value.split(","))
    return list(dict.fromkeys(part for part in found if part))


def _ids(name: str, ids: list[str]) -> list[str]:
    if len(ids) > MAX_EXCLUDED_IDS:
        raise InvalidQuery(name, f"at most {MAX_EXCLUDED_IDS} ids, not {len(ids)}")
    if any(len(one) > MAX_ID_CHARACTERS for one in ids):
        raise InvalidQuery(name, f"an id has at most {MAX_ID_CHARACTERS} characters")
    return ids


def _fields(names: list[str]) -> tuple[str, ...]:
    if len(names) > MAX_FIELDS:
        raise InvalidQuery("fields", f"at most {MAX_FIELDS} columns, not {len(names)}")
    return tuple(names)


def _filter_values(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(FILTER_VALUE_PREFIX):
            placeholder = name.removeprefix(FILTER_VALUE_PREFIX)
            if not _FILTER_NAME.fullmatch(placeholder):
                raise InvalidQuery(
                    name[: len(FILTER_VALUE_PREFIX) + MAX_FILTER_NAME_CHARACTERS],
                    f"a name of 1 to {MAX_FILTER_NAME_CHARACTERS} letters, digits and _ follows the point",
                )
            if len(value) > MAX_FILTER_VALUE_CHARACTERS:
                raise InvalidQuery(name, f"at most {MAX_FILTER_VALUE_CHARACTERS} characters, not {len(value)}")
            found.setdefault(placeholder, value)
    if len(found) > MAX_FILTER_VALUES:
        raise InvalidQuery("filter_values", f"at most {MAX_FILTER_VALUES} names, not {len(found)}")
    return tuple(sorted(found.items()))


def _format(text: str) -> Literal["array", "object"]:
    if text not in ("", "array", "object"):
        raise InvalidQuery("format", "array or object")
    return cast('Literal["array", "object"]', text or "array")
