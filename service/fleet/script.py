"""A Lua script that runs wherever Redis is now."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from redis.exceptions import NoScriptError


class RunsScripts(Protocol):
    """A way to a server that runs scripts."""

    async def evalsha(self, sha: str, count: int, *keys_and_args: Any) -> Any:  # noqa: ANN401  # what a script returns
        """Run a script that the server knows.

        Raises:
            RedisError, OSError: As the library's.
        """

    async def eval(self, text: str, count: int, *keys_and_args: Any) -> Any:  # noqa: ANN401  # as above
        """Run a script.

        Raises:
            RedisError, OSError: As the library's.
        """


class Script:
    """A script, asked for by its hash; sent whole to a server that does not know it.

    Args:
        way: The one in use now.
        text: In Lua.
    """

    def __init__(self, way: Callable[[], RunsScripts], text: str) -> None:
        self._way = way
        self._text: Final = text
        self._sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[Any], args: Sequence[Any] = ()) -> Any:  # noqa: ANN401  # what a script returns
        """Run it; in a cluster its keys share a slot.

        Raises:
            RedisError: As any command.
        """
        way = self._way()
        try:
            return await way.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await way.eval(self._text, len(keys), *keys, *args)
