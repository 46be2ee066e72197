"""Answers hits before the parser returns: no scope, no task, which cost more than the hit itself.

Only a plain request on a quiet connection is answered so. It came whole in one packet, with nothing behind it; no other
is under way; nothing waits to be sent; the connection stays open. Everything else takes the ordinary way, which would
have sent the same bytes. `tests/api/test_at_once.py` compares the two.

The calls of a send differ in their target. Where all that counts behind it has been read before on a connection, the
parser is not asked again.
"""

import re
from typing import Any, Final

from service.api.auth import CREDENTIALS
from service.api.held_protocol import HeldProtocol
from service.api.hit_lane import AT_ONCE_HEADERS, HitLane
from service.api.known_heads import OF_BODIES, OF_CONNECTIONS, Shape
from service.api.lifecycle import ASKED, LEAVING, Asked, Leaving
from service.api.limits import MAX_HEADER_BYTES, MAX_PATH_BYTES

_HEAD_END: Final = b"\r\n\r\n"
_METHOD: Final = b"GET "
_VERSION: Final = b" HTTP/1.1\r"
_UNUSUAL: Final = OF_BODIES | OF_CONNECTIONS
_TELLING: Final = AT_ONCE_HEADERS | _UNUSUAL
_NAMING: Final = AT_ONCE_HEADERS - CREDENTIALS
"""Those that are others in every request."""

MAX_LESSONS: Final = 16
"""So many heads of a connection are looked at in vain for their shape: some clients never send one that is known."""

MAX_KNOWN_BYTES: Final = 4_096
"""Of a request whose headers are kept for the next one of its connection. A send's calls differ in their target."""


class AtOnceProtocol(HeldProtocol):
    """Uvicorn's own, with a shorter way to `HitLane`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        # Uvicorn's own access log and limit are settings of no service.
        is_plain = not self.config.access_log and self.limit_concurrency is None
        self._lane: HitLane | None = self.app if isinstance(self.app, HitLane) and is_plain else None
        self._is_one_request = False
        self._is_answered = False
        self._is_settled = False
        """Whether the packet was a request that has been answered, and nothing else is to be done."""
        self._packet = b""
        """One plain request, unless it is long."""
        self._target_end = 0
        """Where its target ends."""
        self._known_end = b""
        """What the latest plain request that was answered at once had behind its target; empty before there was one."""
        self._lessons = 0
        self._known_shape: Shape | None = None
        """That of the same."""
        self._known_head: re.Pattern[bytes] | None = None
        """Matches requests of that shape, once two had it."""
        self._known_headers: list[tuple[bytes, bytes]] = []
        """Those in it that an answer depends on, as the parser found them."""
        self._found: Asked | bytes | None = None
        """What was found out about the request in this packet before the parser has seen it."""
        self._leaving = Leaving()
        """Of the latest plain request that takes the ordinary way: nothing else is under way then."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything, and end the call that nobody waits for."""
        super().connection_lost(exc)
        self._leaving.left()

    def _answer_as_before(self, data: bytes) -> bool:
        """Answer a packet with the head of the one before if that needs no wait; whether it is done.

        The parser has read these headers behind this method and version, and would find the same again. A target that
        has an answer is a path and a query of visible ASCII: no second request hides in it.
        """
        lane = self._lane
        if lane is None or len(data) > MAX_KNOWN_BYTES:
            return False
        if data.endswith(self._known_end) and data.startswith(_METHOD):
            target = data[len(_METHOD) : -len(self._known_end)]
        else:
            match = None if self._known_head is None else self._known_head.fullmatch(data)
            if match is None:
                return False
            target = match[1]
            self._lessons = 0
        if not self._is_quiet():
            return False
        found = lane.at_once(target, self._known_headers, self.server_state.default_headers)
        if isinstance(found, bytes):
            self._send(found)
            return True
        self._found = found
        return False

    def _learn(self, lane: HitLane, headers: list[tuple[bytes, bytes]]) -> None:
        """Know the head of this packet again, which has been answered at once."""
        if self._lessons == MAX_LESSONS and self._known_head is not None:
            return
        self._known_end, self._known_headers = self._packet[self._target_end :], headers
        shape = None
        if self._lessons < MAX_LESSONS and self._known_end and not any(name in _NAMING for name, _ in headers):
            self._lessons += 1
            shape = lane.heads.shape(self._known_end)
        # What was seen once is not worth a pattern.
        self._known_head = None if shape is None or shape != self._known_shape else lane.heads.pattern(shape)
        self._known_shape = shape

    def _note_packet(self, line: bytes, data: bytes) -> None:
        """Note whether a packet holds one plain request and nothing else; `line` is its first line, without its end."""
        self._is_one_request = (
            line.endswith(_VERSION)
            and data.startswith(_METHOD)
            and data.endswith(_HEAD_END)
            and data.find(_HEAD_END) == len(data) - len(_HEAD_END)
            and self._lane is not None
        )
        self._packet = data if self._is_one_request and len(data) <= MAX_KNOWN_BYTES else b""
        self._target_end = len(line) - len(_VERSION)

    def on_message_begin(self) -> None:
        """Begin a request; its scope is made when it is asked for, which a hit does not."""
        if self._is_one_request:
            self.url = b""
            self.expect_100_continue = False
            self.headers = []
        else:
            super().on_message_begin()

    def _make_scope(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers

    def on_message_complete(self) -> None:
        """The next bytes begin a request."""
        if self._is_answered:
            # It has no cycle, which uvicorn would look at.
            self._is_answered = False
        else:
            super().on_message_complete()

    def _answer_at_once(self) -> bool:
        """Answer the request whose head is there if that needs no wait; whether it is done.

        Then the connection is as it would be after the ordinary way.
        """
        found, self._found = self._found, None
        if not self._is_one_request:
            return False
        if found is None and self._is_usual():
            found = self._find()
        self._packet = b""
        if isinstance(found, bytes):
            self._is_answered = self._is_settled = True
            self._send(found)
            return True
        self._make_scope()
        if found is not None:
            self.scope[ASKED] = found  # type: ignore[typeddict-unknown-key]  # of this project
            self._leaving = self.scope[LEAVING] = Leaving()  # type: ignore[typeddict-unknown-key]  # as above
        return False

    def _send(self, answer: bytes) -> None:
        """Send the whole answer to a request; its connection is then as it would be after the ordinary way."""
        self._turn = "ask"
        self._held.answered(self)
        self.server_state.total_requests += 1
        self.transport.write(answer)

    def _is_usual(self) -> bool:
        return self._is_quiet() and not (
            self.expect_100_continue or self._head_bytes > MAX_HEADER_BYTES or len(self.url) > MAX_PATH_BYTES
        )

    def _is_quiet(self) -> bool:
        """Whether nothing is under way on this connection, nothing waits to be sent, and it stays open."""
        under_way = self._under_way
        return not (
            (under_way is not None and not under_way.response_complete)
            or self.flow.write_paused
            or self._held.stopping
            or self.transport.is_closing()
        )

    def _find(self) -> bytes | Asked | None:
        if self._lane is None:
            return None
        headers = [one for one in self.headers if one[0] in _TELLING]
        for name, _ in headers:
            if name in _UNUSUAL and not self._stays_open(name):
                return None
        found = self._lane.at_once(self.url, headers, self.server_state.default_headers)
        if isinstance(found, bytes):
            self._learn(self._lane, headers)
        return found

    def _stays_open(self, name: bytes) -> bool:
        """Whether the connection goes on as it was behind a request with such a header."""
        return name in OF_CONNECTIONS and self.parser.should_keep_alive() and not self.parser.should_upgrade()
