"""A Lua script that runs wherever Redis is now."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError

from service.fleet.connections import AnyRedis


class Script:
    """A script, asked for by its hash; sent whole to a server that does not know it.

    Args:
        redis: The client in use now.
        text: In Lua.
    """

    def __init__(self, redis: Callable[[], AnyRedis], text: str) -> None:
        self._redis = redis
        self._text: Final = text
        self._sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[Any], args: Sequence[Any] = ()) -> Any:  # noqa: ANN401  # what a script returns
        """Run it; in a cluster its keys share a slot.

        Raises:
            RedisError: As any command.
        """
        client = self._redis()
        try:
            return await client.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *keys, *args)
