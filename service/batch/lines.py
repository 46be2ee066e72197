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
    PERSONALIZE_MAX_RESULTS,
)
from service.models import ListRequest

MAX_LINE_BYTES: Final = 1 << 20
"""Bytes of a line; of a longer one only the beginning is read. 500 ids of 256 characters with scores take 200 kB."""


class SimilarItemsLine(Exception):
    """The line is of an item, not of a user."""


class BadLine(ValueError):
    """The line holds no list that could be served; the message says why, and no id."""


def parse(line: bytes) -> tuple[ListRequest, tuple[str, ...]]:
    """What a line answers, a user with the filter values that the job was given, and the items, best first.

    Raises:
        SimilarItemsLine: The list is of an item.
        BadLine: Anything else that is not a user's list.
    """
    if len(line) >= MAX_LINE_BYTES:
        raise BadLine(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        parsed = orjson.loads(line)
        given, output, failure = parsed["input"], parsed["output"], parsed.get("error")
        user_id = given.get("userId")
    except orjson.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error.msg} at column {error.colno}") from None
    except (TypeError, KeyError, AttributeError):
        raise BadLine("not an object with input and output") from None
    if failure is not None or output is None:
        raise BadLine("Personalize could not make this list" if failure is None else _said(failure))
    if user_id is None and "itemId" in given:
        raise SimilarItemsLine
    if not isinstance(user_id, str) or not 0 < len(user_id) <= MAX_ID_CHARACTERS:
        raise BadLine(f"userId is not a text of 1 to {MAX_ID_CHARACTERS} characters")
    items = output.get("recommendedItems") if isinstance(output, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= PERSONALIZE_MAX_RESULTS:
        raise BadLine(f"recommendedItems is not a list of 1 to {PERSONALIZE_MAX_RESULTS} ids")
    for item in items:
        if not isinstance(item, str) or not 0 < len(item) <= MAX_ID_CHARACTERS:
            raise BadLine(f"an item's id is not a text of 1 to {MAX_ID_CHARACTERS} characters")
    return ListRequest(user_id, filter_values=_filter_values(given)), tuple(items)


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
