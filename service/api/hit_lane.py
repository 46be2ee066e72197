"""The short way for the answer that most calls of a send get: a fresh list.

It stands in front of the FastAPI application, answers what it can from rendered bytes and lets everything else
through, errors included. A rendered answer is good for as long as its list is the one in memory and fresh, and
neither catalogue nor block list have changed; nothing has to make it forget.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from fastapi import FastAPI

from service.api.entrance import entered
from service.api.headers import REQUEST_ID, lasting_headers, new_request_id, request_id_of
from service.api.lifecycle import ACCESS_LINE, ASKED, Lifecycle, Services, asked_by
from service.api.query import parse_query
from service.api.turns import Turns
from service.constants import QUIET_PATHS, RANKING_PATH, RECOMMENDATIONS_PATH, SIMILAR_ITEMS_PATH
from service.errors import ConfigurationError, InvalidQuery
from service.lists.envelope import Envelope, created_at
from service.lists.freshness import MAX_CLOCK_SKEW_SECONDS
from service.lists.keys import UserKey, UserPrefix
from service.lists.memory import BytesBoundedCache, discard_where
from service.models import RequestKind
from service.telemetry import Hit

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Plain tuples of bytes and numbers: after its first look the garbage collector leaves them in peace, which it does not
# do for instances. The list's key, the list, the rules' version, Unix second until which it is fresh and at which it
# was made, headers, body, what telemetry counts, and the user whose own events it depends on, with their version.
Rendered: TypeAlias = tuple[
    UserKey, Envelope, int, float, float, tuple[tuple[bytes, bytes], ...], bytes, Hit, UserPrefix, int
]

KINDS: Final[Mapping[str, RequestKind]] = {
    RECOMMENDATIONS_PATH: "recommendations",
    SIMILAR_ITEMS_PATH: "similar-items",
    RANKING_PATH: "ranking",
}
"""What is asked for under each path."""

MEMO_KEY_BYTES = 15
"""As for a user's key: no two queries meet."""

_RENDERED_OVERHEAD_BYTES = 900


class HitLane:
    """ASGI application around another one.

    Args:
        app: Answers what the lane does not.
        lifecycle: Of the process.
        root_path: The prefix under which a proxy passes all paths on.
    """

    def __init__(self, app: FastAPI, lifecycle: Lifecycle, root_path: str = "") -> None:
        self.application = app
        self._app: App = app
        self.lifecycle = lifecycle
        self.startup_error: ConfigurationError | None = None
        """Why the lifespan could not begin."""
        self._services: Services | None = None
        self._root_path = root_path
        self._answering: App = self._answer
        self._turns = Turns()
        self._memo: BytesBoundedCache[Rendered] = BytesBoundedCache(0, _rendered_bytes)

    @property
    def memo(self) -> BytesBoundedCache[Rendered]:
        """The rendered answers."""
        return self._memo

    def open(self, services: Services) -> None:
        """Begin to answer; until then everything is let through."""
        self._services = services
        self._memo = BytesBoundedCache(services.limits.memo_bytes, _rendered_bytes)
        services.caches.append(self._memo)
        services.administration.forgetting.add(self)

    def close(self) -> None:
        """Let everything through again."""
        self._services = None
        self._memo.clear()

    def surround(self, around: Callable[[App], App]) -> None:
        """Let something stand around all answers, such as what makes a span of each."""
        self._answering = around(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        await self._answering(entered(scope, self._root_path), receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        if services is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        logged = scope["path"] not in QUIET_PATHS and services.telemetry.sampled()
        if logged and request_id is None:
            request_id = new_request_id()
        is_callers = scope["path"] in KINDS and services.gate.admits(scope["headers"])
        if not is_callers and await self._turns.take() and scope["method"] == "GET":
            received = await receive()
            if received["type"] == "http.disconnect":
                return
            receive = _beginning_with(received, receive)
        if not is_callers or scope["method"] != "GET":
            await self._pass_on(services, scope, receive, send, request_id, logged=logged)
            return
        began = services.clock.monotonic()
        rendered = self._rendered(services, scope, began)
        if rendered is None:
            await self._pass_on(services, scope, receive, send, request_id, logged=logged)
            return
        age = max(0, int(services.clock.time() - rendered[4]))
        seconds = services.clock.monotonic() - began
        headers = [
            *rendered[5],
            (b"server-timing", b"total;dur=%.1f" % (seconds * 1000)),
            (b"age", b"%d" % age),
        ]
        if request_id is not None:
            headers.append((REQUEST_ID, request_id))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": rendered[6]})
        services.telemetry.hit(rendered[7], age, seconds, request_id if logged else None)

    async def _pass_on(
        self, services: Services, scope: Scope, receive: Receive, send: Send, request_id: bytes | None, *, logged: bool
    ) -> None:
        if request_id is not None:
            send = _naming(request_id, send)
        scope[ACCESS_LINE] = request_id if logged else None
        if not logged:
            await self._app(scope, receive, send)
            return
        began, status = services.clock.monotonic(), 0

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # The route of recommendations has more to say, and takes the id away when it has said it.
            unsaid = scope[ACCESS_LINE]
            if unsaid is not None:
                route = getattr(scope.get("route"), "path", None)
                services.telemetry.other(route, status, services.clock.monotonic() - began, unsaid)

    def _rendered(self, services: Services, scope: Scope, began: float) -> Rendered | None:
        path, query_string = scope["path"], scope["query_string"]
        # Not the query itself: it names the user, and may be many times larger than what is kept under it.
        memo_key = blake2b(query_string, digest_size=MEMO_KEY_BYTES, person=path.encode()).digest()
        rendered = self._memo.get(memo_key)
        if rendered is not None:
            key, envelope, version, fresh_until, made_at = rendered[:5]
            if (
                version == services.rules_version()
                and made_at - MAX_CLOCK_SKEW_SECONDS <= services.clock.time() < fresh_until
                and services.memory.get(key) is envelope
                and (not rendered[8] or services.events_version(rendered[8]) == rendered[9])
            ):
                return rendered
        return self._render(services, scope, began, memo_key)

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        await discard_where(
            self._memo, lambda _, rendered: rendered[0].startswith(user_prefix) or rendered[8] == user_prefix
        )

    def _render(self, services: Services, scope: Scope, began: float, memo_key: bytes) -> Rendered | None:
        try:
            asked = scope[ASKED] = asked_by(services, parse_query(scope["query_string"], KINDS[scope["path"]]), began)
            query = asked.query
            envelope = None if asked.key is None else asked.arm.lists.fresh(asked.key)
            if asked.key is None or envelope is None or query.send or query.rotate:
                # What was shown in sends may have to be looked up, or kept.
                return None
            user_prefix, events_version = services.own_events_of(query.user_id)
            if events_version < 0:
                # What the user did is not known here yet: it is loaded on the ordinary way.
                return None
            answer = asked.placement.from_list(query, asked.arm, envelope)
        except InvalidQuery:
            return None
        if answer is None:
            return None
        if answer.source != "cache":
            scope[ASKED] = replace(asked, answer=answer)
            return None
        rendered = (
            asked.key,
            envelope,
            services.rules_version(),
            min(asked.arm.lists.fresh_until(asked.key, envelope), asked.arm.assembly.valid_until()),
            created_at(envelope),
            tuple(lasting_headers(answer)),
            answer.body,
            (answer.placement, answer.variant or "", answer.degraded_reason or "", answer.dropped),
            user_prefix,
            events_version,
        )
        self._memo.put(memo_key, rendered)
        return rendered


def _beginning_with(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """As `receive`, with a message that has been taken out already."""
    taken = [message]

    async def received() -> MutableMapping[str, Any]:
        return taken.pop() if taken else await receive()

    return received


def _naming(request_id: bytes, send: Send) -> Send:
    async def named(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
        await send(message)

    return named


def _rendered_bytes(rendered: Rendered) -> int:
    return len(rendered[6]) + _RENDERED_OVERHEAD_BYTES
