"""What the library's commands answer. Anything else is the answer to another question, or no Redis."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from redis.exceptions import InvalidResponse

_LISTS: Final = ("XRANGE", "XREVRANGE", "XINFO GROUPS", "XPENDING", "XAUTOCLAIM", "TIME", "HMGET", "ZRANGE")
"""Commands that answer with a list, whatever there is."""

_VALUES: Final = ("GET", "HGET")
"""Commands that answer with bytes, or with nothing."""

Reader = Callable[..., Any]


class Client(Protocol):
    """One of the library's clients."""

    response_callbacks: Any

    def set_response_callback(self, command: str, callback: Reader) -> None:
        """Read the answers to a command by this."""


def check_answers(client: Client) -> None:
    """Let commands that answer with a list, or with bytes, fail where something else comes."""
    for name in _LISTS:
        client.set_response_callback(name, _checked(name, client.response_callbacks.get(name)))
    for name in _VALUES:
        client.set_response_callback(name, _value)


def _checked(name: str, read: Reader | None) -> Reader:
    def checked(answer: object, **options: object) -> Any:  # noqa: ANN401  # as the library's
        if not isinstance(answer, list):
            raise InvalidResponse(f"Protocol error: no list for {name}")
        return answer if read is None else read(answer, **options)

    return checked


def _value(answer: object, **_: object) -> bytes | None:
    if answer is None or isinstance(answer, bytes):
        return answer
    raise InvalidResponse(f"Protocol error: {type(answer).__name__} for a value")
