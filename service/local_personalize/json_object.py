"""JSON objects in the calls of the local Personalize."""

from typing import Any

import orjson

from service.local_personalize.refusals import invalid_input


def json_object(text: bytes | str, what: str = "The request body") -> dict[str, Any]:
    """The object that a text holds.

    Args:
        text: The text.
        what: Names it in a refusal.

    Raises:
        Refusal: It is no JSON, or no object.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid_input(f"{what} is not JSON") from error
    if not isinstance(found, dict):
        raise invalid_input(f"{what} is not a JSON object")
    return found
