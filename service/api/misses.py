"""The answer to a call whose list is not at hand: for the route, and for the lane in front of it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from service.api.lifecycle import Asked, Leaving, Services
from service.models import Answer

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def answer_to(
    services: Services,
    asked: Asked,
    headers: Sequence[tuple[bytes, bytes]],
    receive: Receive,
    leaving: Leaving | None = None,
) -> Answer | None:
    """The answer before the deadline; None when the client hangs up first, so that its slot goes to the next.

    Args:
        services: Answer it.
        asked: What is asked.
        headers: Of the request.
        receive: What the client still sends.
        leaving: Says that the client has left, where the server does; to ask `receive` costs two tasks.

    Raises:
        ServiceError: The query cannot be answered; the error table says how.
    """
    if asked.answer is not None:
        return asked.answer
    deadline = asked.began + services.limits.deadline_seconds
    query = replace(asked.query, sender=services.gate.sender_of(headers))
    answering = asked.placement.answer(query, deadline, arm=asked.arm, key=asked.key)
    return await (_unless_left(answering, leaving) if leaving is not None else _unless_disconnected(answering, receive))


async def _unless_left(answering: Coroutine[Any, Any, Answer], leaving: Leaving) -> Answer | None:
    task = asyncio.current_task()
    if leaving.has_left() or task is None:
        answering.close()
        return None
    leaving.on_leave = task.cancel
    try:
        return await answering
    except asyncio.CancelledError:
        if not leaving.has_left():
            raise
        task.uncancel()
        return None
    finally:
        leaving.on_leave = None


async def _unless_disconnected(answering: Coroutine[Any, Any, Answer], receive: Receive) -> Answer | None:
    asking = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        waiting: set[asyncio.Future[Any]] = {asking, gone}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
