"""A Lua script that runs wherever Redis is now."""

import hashlib
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, Final, Protocol

from redis.exceptions import InvalidResponse, NoScriptError

Answers = type | UnionType | tuple[type, ...]
"""What a script returns: one of these types; of a tuple, a list that begins with values of its types."""


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
        answers: What it returns. Anything else is not Redis's answer to it: a proxy's, or that to another question.
    """

    def __init__(self, way: Callable[[], RunsScripts], text: str, answers: Answers) -> None:
        self._way = way
        self._answers = answers
        self._text: Final = text
        self._sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[Any], args: Sequence[Any] = ()) -> Any:  # noqa: ANN401  # what a script returns
        """Run it; in a cluster its keys share a slot.

        Raises:
            RedisError: As any command.
        """
        way = self._way()
        try:
            answer = await way.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            answer = await way.eval(self._text, len(keys), *keys, *args)
        if not _is_one_of(answer, self._answers):
            raise InvalidResponse("Protocol error: a script answered with something else than it returns")
        return answer


def _is_one_of(answer: object, answers: Answers) -> bool:
    if not isinstance(answers, tuple):
        return isinstance(answer, answers)
    return isinstance(answer, list) and len(answer) >= len(answers) and all(map(isinstance, answer, answers))
