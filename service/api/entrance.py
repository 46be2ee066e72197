"""What a request asks for, whichever way it came in: the proxy's prefix is taken away, and HEAD asks as GET does."""

from collections.abc import MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]

HEAD_ONLY: Final = "personalize_connect.head_only"
"""Of a request's scope: there if only the head of the answer was asked for."""


def entered(scope: Scope, root_path: str) -> Scope:
    """The request as the routes know it.

    The server still has the scope as it came, and sends no body where that says HEAD.

    Args:
        scope: Of any kind.
        root_path: The prefix under which a proxy passes all paths on. A path without it is taken as it is: many proxies
            strip the prefix, and probes do not pass a proxy.
    """
    if scope["type"] != "http":
        return scope
    if scope["method"] == "HEAD":
        scope = {**scope, "method": "GET", HEAD_ONLY: True}
    if root_path and scope["path"].startswith(f"{root_path}/"):
        raw_path, prefix = scope["raw_path"], root_path.encode()
        scope = {
            **scope,
            "path": scope["path"].removeprefix(root_path),
            # Where the prefix itself was escaped, the rest still says whether it is text.
            "raw_path": raw_path.removeprefix(prefix) if raw_path else raw_path,
        }
    return scope
