"""Bodies of JSON, as every route takes them."""

from codecs import BOM_UTF8
from typing import Final

from starlette.requests import Request

from service.errors import InvalidQuery

PACKED: Final = "comes with a Content-Encoding; send it unpacked"


def is_packed(request: Request) -> bool:
    """Whether a body is not as it is; what it grows to is unknown before it is unpacked, so no route takes it."""
    return request.headers.get("content-encoding", "").strip().lower() not in ("", "identity")


async def json_body(request: Request) -> bytes:
    """The bytes of a body, without the mark that some libraries write before UTF-8.

    Raises:
        InvalidQuery: It is packed.
    """
    if is_packed(request):
        raise InvalidQuery("body", PACKED)
    return (await request.body()).removeprefix(BOM_UTF8)
