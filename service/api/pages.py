"""The routes' documentation: OpenAPI for machines, and Swagger UI for people, from files that are installed with us.

Nothing on the page is from another host, so it works where there is no way out, and no other host can change it. Its
policy lets the browser load and run nothing but these files.
"""

import asyncio
from functools import lru_cache
from html import escape
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from service.api.document import document_bytes
from service.api.keyed_route import keyed, reader_of_docs
from service.api.lifecycle import services_of

router = APIRouter(include_in_schema=False, route_class=keyed(reader_of_docs))

PACKAGE: Final = "fastapi_offline"
"""Has Swagger UI's files; nothing else of it is used."""

START: Final = b"""\
const here = document.getElementById("swagger-ui");
SwaggerUIBundle({
  url: here.dataset.document,
  domNode: here,
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""
"""Without `validatorUrl` it would send the document's address to a host of its makers."""

TYPES: Final = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""The files of the page, and what they are."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The routes, for machines."""
    body = document_bytes(request.app, services_of(request).limits.root_path)
    return Response(body, media_type="application/json")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The routes, for people."""
    root_path = escape(services_of(request).limits.root_path)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(request.app.title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root_path}/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-document="{root_path}/openapi.json"></div>
<script src="{root_path}/docs/swagger-ui-bundle.js"></script>
<script src="{root_path}/docs/start.js"></script>
</body>
</html>
"""
    return Response(page, media_type="text/html", headers=_HEADERS)


@router.get("/docs/{name}")
async def file_of_docs(name: str) -> Response:
    """A file of that page.

    Raises:
        HTTPException: There is none of this name; 404.
    """
    if name not in TYPES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    content = START if name == "start.js" else await asyncio.to_thread(_installed, name)
    return Response(content, media_type=TYPES[name], headers={**_HEADERS, "Cache-Control": "private, max-age=3600"})


@lru_cache
def _installed(name: str) -> bytes:
    return files(PACKAGE).joinpath("static", name).read_bytes()
