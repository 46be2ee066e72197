"""Looks for a user in everything that an object leads to."""

import asyncio
import gc
from collections.abc import Iterable
from types import CoroutineType, FrameType, FunctionType, ModuleType

from service.lists.keys import USER_PREFIX_BYTES

_ELSEWHERE = (ModuleType, type, FrameType, CoroutineType, asyncio.AbstractEventLoop, asyncio.Future)


def traces(root: object, *, user_id: str, keys: Iterable[bytes], but: Iterable[object] = ()) -> list[bytes | str]:
    """Keys of the user, texts and bytes with the id, reachable from an object.

    Modules, classes, coroutines and the event loop lead to the test itself, and are not looked into.

    Args:
        root: Where to begin.
        user_id: The id.
        keys: A key of the user, and whatever else is derived from the id.
        but: Not looked into.
    """
    searched = tuple(keys)
    prefixes = tuple(key[:USER_PREFIX_BYTES] for key in searched)
    found: list[bytes | str] = []
    seen = {id(one) for one in but}
    waiting: list[object] = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _ELSEWHERE):
            continue
        seen.add(id(one))
        if isinstance(one, bytes):
            # The bare beginning is what is known of somebody just forgotten.
            if (one.startswith(prefixes) and len(one) > USER_PREFIX_BYTES) or user_id.encode() in one:
                found.append(one)
        elif isinstance(one, str):
            if user_id in one:
                found.append(one)
        elif isinstance(one, FunctionType):
            waiting += [one.__closure__, one.__defaults__, one.__kwdefaults__]
        else:
            waiting += gc.get_referents(one)
    return found
