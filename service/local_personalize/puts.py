"""PutItems, PutUsers, PutActions and PutActionInteractions: datasets that grow while the model serves.

Amazon's recommenders consider a new item after up to two hours, and filters see new columns within 20 minutes. Here
both do with the answer.
Source: https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Events.html
"""

import re
from collections.abc import Callable
from typing import Any, Final

from service.local_personalize import shapes
from service.local_personalize.arns import DATASET_ARN, TRACKING_ID
from service.local_personalize.json_object import json_object
from service.local_personalize.learn import CoVisitationModel
from service.local_personalize.refusals import invalid_input, not_found
from service.local_personalize.throttle import TokenBucket

CALLS_PER_SECOND: Final = 10
"""Of each operation but PutEvents. Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""

OPERATIONS: Final = {
    "/items": "PutItems",
    "/users": "PutUsers",
    "/actions": "PutActions",
    "/action-interactions": "PutActionInteractions",
}

_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class DatasetPuts:
    """Takes the calls on datasets.

    Args:
        model: Its items and users grow.
        clock: What the rate is measured by.
    """

    def __init__(self, model: CoVisitationModel, clock: Callable[[], float]) -> None:
        self._model = model
        self._buckets = {path: TokenBucket(tokens_per_second=CALLS_PER_SECOND, clock=clock) for path in OPERATIONS}
        # Without a file there is no schema: any column is taken.
        self._columns_of = {
            "ITEMS": list(next(iter(model.dataset.items.values()), {})),
            "USERS": list(next(iter(model.dataset.users.values()), {})),
        }
        self.taken: dict[str, list[dict[str, Any]]] = {operation: [] for operation in OPERATIONS.values()}
        """What was put, by operation, in order."""

    def try_take(self, path: str) -> bool:
        """Whether the rate admits a call now."""
        return self._buckets[path].try_take()

    def check(self, path: str, call: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
        """Id and columns of everything in a call.

        Raises:
            Refusal: Amazon would not take it.
        """
        operation = OPERATIONS[path]
        shapes.check(operation, call)
        kind = {"/items": "ITEMS", "/users": "USERS", "/actions": "ACTIONS"}.get(path, "ACTION_INTERACTIONS")
        if kind == "ACTION_INTERACTIONS":
            if call["trackingId"] != TRACKING_ID:
                raise invalid_input("There is no event tracker of this trackingId")
        elif call["datasetArn"] != f"{DATASET_ARN}{kind}":
            raise not_found(f"There is no {kind} dataset {call['datasetArn']}")
        listed = call["actionInteractions" if kind == "ACTION_INTERACTIONS" else kind.lower()]
        id_name = {"ITEMS": "itemId", "USERS": "userId"}.get(kind, "actionId")
        return [(one[id_name], self._columns(kind, id_name, one)) for one in listed]

    def put(self, path: str, call: dict[str, Any], rows: list[tuple[str, dict[str, str]]]) -> None:
        """Take what `check` has looked at."""
        operation = OPERATIONS[path]
        self.taken[operation].append(call)
        for one_id, columns in rows:
            if operation == "PutItems":
                self._model.put_item(one_id, columns)
            elif operation == "PutUsers":
                self._model.dataset.users[one_id] = columns

    def _columns(self, kind: str, id_name: str, given: dict[str, Any]) -> dict[str, str]:
        """The columns as the dataset has them; `numRatings` is NUM_RATINGS. What is not named is empty."""
        properties = given.get("properties")
        found = {} if properties is None else json_object(properties, "properties")
        named = {_WORD_START.sub("_", key).upper(): _text(value) for key, value in found.items()}
        known = self._columns_of.get(kind)
        if not known:
            return {_WORD_START.sub("_", id_name).upper(): given[id_name], **named}
        if unknown := named.keys() - set(known):
            raise invalid_input(f"properties has {min(unknown)}, which the schema lacks")
        ids = {"ITEM_ID", "USER_ID", "ID"}
        return {name: given[id_name] if name in ids else named.get(name, "") for name in known}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
