"""A line of Amazon Personalize's batch-inference output.

Source: Amazon Personalize developer guide, batch inference output examples, and filtering batch recommendations.
"""

from typing import Any, Final

import orjson

from service.constants import (
    MAX_FILTER_NAME_CHARACTERS,
    MAX_FILTER_VALUE_CHARACTERS,
    MAX_FILTER_VALUES,
    MAX_ID_CHARACTERS,
    MAX_RANKED_IDS,
    PERSONALIZE_MAX_RESULTS,
)
from service.models import ListRequest

MAX_LINE_BYTES: Final = 1 << 20
"""Bytes of a line; of a longer one only the beginning is read. 500 ids of 256 characters with scores take 200 kB."""


class BadLine(ValueError):
    """The line holds no list that could be served; the message says why, and no id."""


def parse(line: bytes) -> tuple[ListRequest, tuple[str, ...]]:
    """What a line answers, with the filter values that the job was given, and the items, best first.

    A line with `itemList` is a ranking, one with `itemId` holds similar items, and one with `userId` recommendations.

    Raises:
        BadLine: It holds no list.
    """
    if len(line) >= MAX_LINE_BYTES:
        raise BadLine(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        parsed = orjson.loads(line)
        given, output, failure = parsed["input"], parsed["output"], parsed.get("error")
        given.get("userId")
    except orjson.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error.msg} at column {error.colno}") from None
    except (TypeError, KeyError, AttributeError):
        raise BadLine("not an object with input and output") from None
    if failure is not None or output is None:
        raise BadLine("Personalize could not make this list" if failure is None else _said(failure))
    request = _request(given)
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= PERSONALIZE_MAX_RESULTS:
        raise BadLine(f"recommendedItems is not a list of 1 to {PERSONALIZE_MAX_RESULTS} ids")
    return request, tuple(_id("an item's id", item) for item in items)


def _request(given: dict[str, Any]) -> ListRequest:
    """The list that a line's input asks for."""
    user_id, item_id, ranked = given.get("userId"), given.get("itemId"), given.get("itemList")
    values = _filter_values(given)
    user_id = _id("userId", user_id) if item_id is None or user_id is not None else ""
    if ranked is not None:
        return ListRequest(user_id, kind="ranking", item_ids=_item_list(ranked), filter_values=values)
    if item_id is not None:
        item_id = _id("itemId", item_id)
        return ListRequest(user_id, kind="similar-items", item_id=item_id, filter_values=values)
    return ListRequest(user_id, filter_values=values)


def _item_list(ranked: object) -> tuple[str, ...]:
    if not isinstance(ranked, list) or not 0 < len(ranked) <= MAX_RANKED_IDS:
        raise BadLine(f"itemList is not a list of 1 to {MAX_RANKED_IDS} ids")
    return tuple(_id("an id of itemList", item) for item in ranked)


def _id(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value := value.strip()) <= MAX_ID_CHARACTERS:
        raise BadLine(f"{name} is not a text of 1 to {MAX_ID_CHARACTERS} characters")
    return value


def _filter_values(given: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    values = given.get("filterValues") or {}
    if not isinstance(values, dict) or len(values) > MAX_FILTER_VALUES:
        raise BadLine(f"filterValues is not an object of at most {MAX_FILTER_VALUES} values")
    for name, value in values.items():
        if not isinstance(value, str) or len(value) > MAX_FILTER_VALUE_CHARACTERS:
            raise BadLine(f"a value of filterValues is not a text of at most {MAX_FILTER_VALUE_CHARACTERS} characters")
        if len(name) > MAX_FILTER_NAME_CHARACTERS:
            raise BadLine(f"a name of filterValues is longer than {MAX_FILTER_NAME_CHARACTERS} characters")
    return tuple(sorted(values.items()))


def _said(failure: object) -> str:
    # Cut short; Personalize's text could name the user.
    return f"Personalize reports an error of {len(str(failure))} characters, which stands in the line"
