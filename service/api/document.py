"""The routes in OpenAPI's words, with what FastAPI cannot know: who may call them."""

from copy import deepcopy
from functools import lru_cache
from typing import Any, Final

import orjson
from fastapi import FastAPI

SCHEMES: Final[dict[str, Any]] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "Opens no administration."},
}

PROBES: Final = frozenset({"/livez", "/readyz"})
"""Nobody needs a credential for them."""

_UNAUTHORIZED: Final = {"description": "No credential that opens this."}


@lru_cache(maxsize=4)
def document_bytes(app: FastAPI, root_path: str = "") -> bytes:
    """The same as JSON; made once, since it takes as long as forty answers."""
    return orjson.dumps(document(app, root_path))


def document(app: FastAPI, root_path: str = "") -> dict[str, Any]:
    """OpenAPI's document of an application.

    Args:
        app: Has the routes.
        root_path: The prefix under which a proxy passes all paths on.
    """
    whole = deepcopy(app.openapi())
    if root_path:
        whole["servers"] = [{"url": root_path}]
    whole.setdefault("components", {})["securitySchemes"] = SCHEMES
    for path, operations in whole["paths"].items():
        if path not in PROBES:
            for operation in operations.values():
                administration = "administration" in operation.get("tags", ())
                operation["security"] = [{name: []} for name in SCHEMES if not (administration and name == "basic")]
                operation["responses"]["401"] = _UNAUTHORIZED
        if "get" in operations:
            operations["head"] = _head_of(operations["get"])
    return whole


def _head_of(get: dict[str, Any]) -> dict[str, Any]:
    """HEAD answers as GET does, without a body."""
    responses = {
        status: {name: value for name, value in response.items() if name != "content"}
        for status, response in get["responses"].items()
    }
    return {**get, "operationId": f"{get['operationId']}_head", "responses": responses}
