"""One parser of a query, for the routes and the hit lane: from a query string, or from the JSON body of `/ranking`.

Longer than 300 lines: every parameter is read in one place, in the order of the contract.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes

import orjson

from service.api.escapes import MAX_STRAY, StrayPercents, text_of, unescaped
from service.constants import (
    DEFAULT_NUM_RESULTS,
    MAX_CONTEXT_VALUE_CHARACTERS,
    MAX_EXCLUDED_IDS,
    MAX_FIELDS,
    MAX_FILTER_NAME_CHARACTERS,
    MAX_FILTER_VALUE_CHARACTERS,
    MAX_FILTER_VALUES,
    MAX_ID_CHARACTERS,
    MAX_NUM_RESULTS,
    MAX_RANKED_IDS,
    MAX_ROTATE,
)
from service.errors import InvalidQuery
from service.models import Attribution, RecommendationQuery, RequestKind

USER_ID_NAMES = ("user_id", "userID", "userId")
ITEM_ID_NAMES = ("item_id", "itemID", "itemId")
ITEM_IDS_NAMES = ("item_ids", "itemIDs", "itemIds")
NUM_RESULTS_NAMES = ("num_results", "numResults")
FILTER_VALUE_PREFIX = "filter_values."
CONTEXT_PREFIX = "context."
_PREFIXES: Final = (FILTER_VALUE_PREFIX, CONTEXT_PREFIX)
_WRITTEN_PREFIXES: Final = tuple(prefix.encode() for prefix in _PREFIXES)

_MAX_PARAMETERS = 1_000
_MAX_PARTS = 2_000
"""Of all lists of a query, blank and repeated ones included."""

_MAX_NAME_BYTES = 400
_MAX_WORD_CHARACTERS = 32
_BYTES_OF_A_CHARACTER = 12
"""Escaped, at most: four bytes of UTF-8."""

_NAMES: Final = {
    name.encode(): name
    for name in (
        *USER_ID_NAMES,
        *ITEM_ID_NAMES,
        *ITEM_IDS_NAMES,
        *NUM_RESULTS_NAMES,
        *("exclude", "fields", "format", "placement", "send", "rotate", "attribution"),
    )
}
PARAMETER_NAMES: Final = (*_NAMES.values(), *(prefix.rstrip(".") for prefix in _PREFIXES))
"""As a refusal names what is wrong; values of placeholders and of context without the names of their own."""

_MAX_CHARACTERS: Final = {
    **dict.fromkeys((*USER_ID_NAMES, *ITEM_ID_NAMES), MAX_ID_CHARACTERS),
    **dict.fromkeys((*NUM_RESULTS_NAMES, "format", "rotate", "attribution"), _MAX_WORD_CHARACTERS),
    "placement": MAX_ID_CHARACTERS,
    "send": MAX_ID_CHARACTERS,
    "filter_values": MAX_FILTER_VALUE_CHARACTERS,
    "context": MAX_CONTEXT_VALUE_CHARACTERS,
}
"""Of each value; lists are bounded by their parts."""

_LISTS: Final = frozenset({*ITEM_IDS_NAMES, "exclude", "fields"})
_OBJECTS: Final = frozenset({"filter_values", "context"})
_OF_BODY: Final = frozenset({*_NAMES.values()}) | _OBJECTS
"""What a JSON body may hold besides `filter_values.NAME` and `context.NAME`."""

_FILTER_NAME = re.compile(rf"[A-Za-z0-9_]{{1,{MAX_FILTER_NAME_CHARACTERS}}}")

_USER_ID: Final = {
    "name": "user_id",
    "in": "query",
    "required": True,
    "allowEmptyValue": True,
    "description": "Personalize's userId; also `userID`, `userId`. Blank: the non-personalised list.",
    "schema": {"type": "string", "maxLength": MAX_ID_CHARACTERS},
}
_ITEM_ID: Final = {
    "name": "item_id",
    "in": "query",
    "required": True,
    "allowEmptyValue": True,
    "description": "The item to which others are similar; also `itemID`, `itemId`. It is never in the answer."
    " May be absent where the placement has `item_from`.",
    "schema": {"type": "string", "maxLength": MAX_ID_CHARACTERS},
}
_ITEM_IDS: Final = {
    "name": "item_ids",
    "in": "query",
    "required": True,
    "description": f"Ids of the items to rank, comma-separated or repeated; at most {MAX_RANKED_IDS}.",
    "schema": {"type": "string"},
}
_COMMON: Final[list[dict[str, Any]]] = [
    {
        "name": "placement",
        "in": "query",
        "description": "Name of the placement to ask; by default the first of this kind.",
        "schema": {"type": "string"},
    },
    {
        "name": "num_results",
        "in": "query",
        "description": "Items wanted; also `numResults`.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_NUM_RESULTS, "default": DEFAULT_NUM_RESULTS},
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
        "description": "Value of the placeholder `$NAME` of the active filters.",
        "schema": {"type": "string", "maxLength": MAX_FILTER_VALUE_CHARACTERS},
    },
    {
        "name": "context.NAME",
        "in": "query",
        "description": "Context for Personalize; names that the placement does not list are ignored.",
        "schema": {"type": "string", "maxLength": MAX_CONTEXT_VALUE_CHARACTERS},
    },
    {
        "name": "send",
        "in": "query",
        "description": "The message's send: all parts and retries get the same items in the same order. Blank: no pin.",
        "schema": {"type": "string", "maxLength": MAX_ID_CHARACTERS},
    },
    {
        "name": "rotate",
        "in": "query",
        "description": "Items shown in so many of the user's last sends go to the end of the list.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MAX_ROTATE, "default": 0},
    },
    {
        "name": "attribution",
        "in": "query",
        "description": "`url` adds `rid` and `pos` to the items' URLs: the recommendation's id and the item's place."
        " `go` makes them links that record a click and lead on.",
        "schema": {"type": "string", "enum": ["", "url", "go"]},
    },
    {
        "name": "format",
        "in": "query",
        "schema": {"type": "string", "enum": ["array", "object", ""], "default": "array"},
    },
]
PARAMETERS: Final[dict[RequestKind, list[dict[str, Any]]]] = {
    "recommendations": [_USER_ID, *_COMMON],
    "similar-items": [_ITEM_ID, {**_USER_ID, "required": False}, *_COMMON],
    "ranking": [
        _USER_ID,
        _ITEM_IDS,
        *[
            {**one, "schema": {"type": "integer", "minimum": 1, "maximum": MAX_RANKED_IDS}}
            if one["name"] == "num_results"
            else one
            for one in _COMMON
        ],
    ],
}
"""The same in OpenAPI's words."""


def parse_query(query_string: bytes, kind: RequestKind = "recommendations") -> RecommendationQuery:
    """What the caller asks for; unknown parameters are ignored, of a repeated one the first counts.

    Everything is counted and measured before it is decoded: where no credential is needed, anybody may send 64 kB.

    Raises:
        InvalidQuery: Names the field and the bound.
    """
    if query_string.count(b"&") >= _MAX_PARAMETERS:
        raise InvalidQuery("query", f"at most {_MAX_PARAMETERS} parameters")
    return _query(_decoded(query_string), kind)


def _decoded(query_string: bytes) -> list[tuple[str, str]]:
    pairs = []
    for pair in query_string.split(b"&"):
        written_name, _, written = pair.partition(b"=")
        name = _NAMES.get(written_name) or _unusual_name(written_name)
        if name:
            # Most values are short and need no decoding.
            is_plain = len(written) <= _MAX_WORD_CHARACTERS and written.isascii() and b"%" not in written
            value = written.decode().replace("+", " ") if is_plain else _value(name, written)
            pairs.append((name, value))
    return pairs


def _unusual_name(written: bytes) -> str:
    """A known name with escapes, or one with a point in it; empty for an unknown one."""
    if written.isalnum():
        return ""
    if len(written) > _MAX_NAME_BYTES:
        # Cut, so that what it begins with can still be refused.
        return (
            unescaped(written[:_MAX_NAME_BYTES]).decode(errors="replace")
            if written.startswith(_WRITTEN_PREFIXES)
            else ""
        )
    try:
        name = text_of(written)
    except (UnicodeDecodeError, StrayPercents):
        raise InvalidQuery("query", "is not UTF-8") from None
    return name if name.startswith(_PREFIXES) or name.encode() in _NAMES else ""


def _value(name: str, written: bytes) -> str:
    most = _MAX_CHARACTERS.get(name.partition(".")[0], len(written))
    if len(written) > most * _BYTES_OF_A_CHARACTER:
        if most == _MAX_WORD_CHARACTERS:
            # Too long to be any; what refuses it says what there is.
            return "?" * most
        raise InvalidQuery(name, f"at most {most} characters")
    try:
        return text_of(written)
    except UnicodeDecodeError:
        raise InvalidQuery(name, "is not UTF-8") from None
    except StrayPercents:
        raise InvalidQuery(name, f"more than {MAX_STRAY} percent signs that escape nothing") from None


class _Whole(str):
    """An element of a JSON list: it is not divided at commas."""

    __slots__ = ()


def parse_body(body: bytes, kind: RequestKind) -> RecommendationQuery:
    """The same from a JSON object: `exclude` may be a list of whole ids, `filter_values` an object of `NAME` and value.

    Raises:
        InvalidQuery: Names the field and the bound.
    """
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidQuery("body", "is not JSON") from None
    if not isinstance(given, dict):
        raise InvalidQuery("body", "is not a JSON object")
    return _query(list(_pairs(given)), kind)


def _pairs(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    known = {name: value for name, value in given.items() if name in _OF_BODY or name.startswith(_PREFIXES)}
    lists = [value for value in known.values() if isinstance(value, list | dict)]
    if sum(map(len, lists)) > _MAX_PARTS:
        raise InvalidQuery("body", f"at most {_MAX_PARTS} values")
    for name, value in known.items():
        if isinstance(value, list) and name in _LISTS:
            for one in value:
                yield name, _Whole(_text(name, one))
        elif isinstance(value, dict) and name in _OBJECTS:
            for inner, one in value.items():
                yield f"{name}.{inner}", _text(f"{name}.{inner}", one)
        elif value is not None:
            yield name, _text(name, value)


def _text(name: str, value: object) -> str:
    if name in _OBJECTS:
        raise InvalidQuery(name, "is not an object of names and values")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        or_list = ", nor a list of them" if name in _LISTS else ""
        raise InvalidQuery(name[:MAX_ID_CHARACTERS], f"is neither text nor a number{or_list}")
    return value if isinstance(value, str) else str(value)


def _query(pairs: list[tuple[str, str]], kind: RequestKind) -> RecommendationQuery:
    values: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(name, value)
    item_ids = _item_ids(pairs) if kind == "ranking" else ()
    return RecommendationQuery(
        user_id=_id(values, USER_ID_NAMES, required=kind != "similar-items"),
        num_results=_num_results(values, len(item_ids) if kind == "ranking" else None),
        exclude=frozenset(_ids("exclude", _listed(pairs, "exclude"), MAX_EXCLUDED_IDS)),
        fields=_fields(_listed(pairs, "fields")),
        filter_values=_named(pairs, FILTER_VALUE_PREFIX, MAX_FILTER_VALUE_CHARACTERS),
        answer_format=_format(values.get("format", "")),
        kind=kind,
        placement=values.get("placement", "").strip(),
        item_id=_id(values, ITEM_ID_NAMES, required=False) if kind == "similar-items" else "",
        names_item=kind != "similar-items" or any(name in values for name in ITEM_ID_NAMES),
        item_ids=item_ids,
        context=_named(pairs, CONTEXT_PREFIX, MAX_CONTEXT_VALUE_CHARACTERS),
        send=_send(values.get("send", "")),
        rotate=_rotate(values.get("rotate", "")),
        attribution=_attribution(values.get("attribution", "")),
    )


def is_utf8(escaped: bytes) -> bool:
    """Whether percent-encoded bytes are text."""
    try:
        unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        return False
    return True


def _id(values: Mapping[str, str], names: Sequence[str], *, required: bool) -> str:
    for name in names:
        if name in values:
            found = values[name]
            if len(found) > MAX_ID_CHARACTERS:
                raise InvalidQuery(name, f"at most {MAX_ID_CHARACTERS} characters, not {len(found)}")
            return found.strip()
    if required:
        raise InvalidQuery(names[0], "is missing; send it blank for the non-personalised list")
    return ""


def _num_results(values: Mapping[str, str], ranked: int | None) -> int:
    most = MAX_NUM_RESULTS if ranked is None else MAX_RANKED_IDS
    for name in NUM_RESULTS_NAMES:
        text = values.get(name, "").strip()
        if text:
            # Not int(): it takes "1_0", "+5" and digits of other scripts.
            if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
                raise InvalidQuery(name, f"a whole number from 1 to {most}")
            return int(text)
    return DEFAULT_NUM_RESULTS if ranked is None else ranked


def _send(text: str) -> str:
    if len(text) > MAX_ID_CHARACTERS:
        raise InvalidQuery("send", f"at most {MAX_ID_CHARACTERS} characters, not {len(text)}")
    return text.strip()


def _rotate(text: str) -> int:
    text = text.strip()
    if text and (not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > MAX_ROTATE):
        raise InvalidQuery("rotate", f"a whole number from 0 to {MAX_ROTATE}")
    return int(text or 0)


def _attribution(text: str) -> Attribution:
    if text not in ("", "url", "go"):
        raise InvalidQuery("attribution", "url, go, or blank")
    return "url" if text == "url" else "go" if text else ""


def _item_ids(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    found = _ids("item_ids", _listed(pairs, *ITEM_IDS_NAMES), MAX_RANKED_IDS)
    if not found:
        raise InvalidQuery("item_ids", f"is missing; 1 to {MAX_RANKED_IDS} ids")
    return tuple(found)


def _listed(pairs: Iterable[tuple[str, str]], *wanted: str) -> list[str]:
    values = [value for name, value in pairs if name in wanted]
    if sum(value.count(",") for value in values if not isinstance(value, _Whole)) > _MAX_PARTS:
        raise InvalidQuery(wanted[0], f"at most {_MAX_PARTS} parts, blank ones included")
    parts = ([value] if isinstance(value, _Whole) else value.split(",") for value in values)
    found = (part.strip() for value in parts for part in value)
    return list(dict.fromkeys(part for part in found if part))


def _ids(name: str, ids: list[str], most: int) -> list[str]:
    if len(ids) > most:
        raise InvalidQuery(name, f"at most {most} ids, not {len(ids)}")
    if any(len(one) > MAX_ID_CHARACTERS for one in ids):
        raise InvalidQuery(name, f"an id has at most {MAX_ID_CHARACTERS} characters")
    return ids


def _fields(names: list[str]) -> tuple[str, ...]:
    if len(names) > MAX_FIELDS:
        raise InvalidQuery("fields", f"at most {MAX_FIELDS} columns, not {len(names)}")
    return tuple(names)


def _named(pairs: Iterable[tuple[str, str]], prefix: str, max_characters: int) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(prefix):
            inner = name.removeprefix(prefix)
            if not _FILTER_NAME.fullmatch(inner):
                raise InvalidQuery(
                    name[: len(prefix) + MAX_FILTER_NAME_CHARACTERS],
                    f"a name of 1 to {MAX_FILTER_NAME_CHARACTERS} letters, digits and _ follows the point",
                )
            if len(value) > max_characters:
                raise InvalidQuery(name, f"at most {max_characters} characters, not {len(value)}")
            found.setdefault(inner, value)
    if len(found) > MAX_FILTER_VALUES:
        raise InvalidQuery(prefix.rstrip("."), f"at most {MAX_FILTER_VALUES} names, not {len(found)}")
    return tuple(sorted(found.items()))


def _format(text: str) -> Literal["array", "object"]:
    if text not in ("", "array", "object"):
        raise InvalidQuery("format", "array or object")
    return "object" if text == "object" else "array"
