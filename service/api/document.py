"""The routes in OpenAPI's words, with what FastAPI cannot know: who may call them."""

from typing import Any, Final

from fastapi import FastAPI

SCHEMES: Final[dict[str, Any]] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "Opens no administration."},
}

PROBES: Final = frozenset({"/livez", "/readyz"})
"""Nobody needs a credential for them."""

_UNAUTHORIZED: Final = {"description": "No credential that opens this."}


def document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI's document of an application."""
    whole = app.openapi()
    whole.setdefault("components", {})["securitySchemes"] = SCHEMES
    for path, operations in whole["paths"].items():
        if path in PROBES:
            continue
        for operation in operations.values():
            administration = "administration" in operation.get("tags", ())
            operation["security"] = [{name: []} for name in SCHEMES if not (administration and name == "basic")]
            operation["responses"]["401"] = _UNAUTHORIZED
    return whole
