"""What the same server can do with the same bytes when nothing has to be decided: the references of a hit.

`python -m bench.reference_server raw|fastapi PORT FILE [SETTINGS]`: FILE holds the answer as JSON, `headers` and
`body`, both in Latin-1; SETTINGS is a JSON object of uvicorn settings that are to be other than the service's.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Response

from service.server import SERVER


def raw(headers: list[tuple[bytes, bytes]], body: bytes) -> Any:  # ASGI's own
    """An ASGI application that sends these bytes."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # ASGI's own
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def fastapi(headers: list[tuple[bytes, bytes]], body: bytes) -> FastAPI:
    """A FastAPI application with one route that returns these bytes."""
    app = FastAPI()

    @app.get("/recommendations")
    async def recommendations(user_id: str) -> Response:
        del user_id
        response = Response(body)
        response.raw_headers = headers
        return response

    return app


def main() -> None:
    """Serve until a signal."""
    kind, port, file, *other = sys.argv[1:]
    answer = json.loads(Path(file).read_text("utf-8"))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"]]
    app = (raw if kind == "raw" else fastapi)(headers, answer["body"].encode("latin-1"))
    settings = {**SERVER, "lifespan": "off", **json.loads(other[0] if other else "{}")}
    config = uvicorn.Config(app, host="127.0.0.1", port=int(port), **settings)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
