"""Tells `Connections` whose turn it is on a connection: the client's, or the service's."""

import asyncio
import select
from typing import Any, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.connections import Turn, connections_of

_NEVER_SECONDS: Final = 1e6
"""Uvicorn's own timer of idle connections would stop at a byte that begins no request; `Connections` has another."""


class HeldProtocol(HttpToolsProtocol):
    """Uvicorn's own; its class below says what of a request has arrived, in the attributes that begin as they do here.

    Attributes:
        _between_requests: Nothing of a request has gone to the parser.
        _in_head: The parser waits for a head, or for the rest of one.
        _unparsed: What has arrived of a first line.
        _refusal_sent: Nothing more is read; the client knows, or will in a moment.
        _head_bytes: Of the head that is being read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever uvicorn passes
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = _NEVER_SECONDS  # type: ignore[assignment]  # any number of seconds does
        self._held = connections_of(self.server_state)
        self._turn: Turn | None = "ask"
        self._between_requests = True
        self._in_head = True
        self._unparsed = b""
        self._refusal_sent = False
        self._head_bytes = 0
        self._under_way: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin the client's turn."""
        super().connection_made(transport)
        self._held.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._held.closed(self)
        self._unset_keepalive_if_required()
        # Uvicorn notifies only the request that was parsed last; with others before it, it is not the one under way.
        if self._under_way is not None:
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client sends no more; it has gone, or has to take what is left for it."""
        self.dismiss()

    def cut(self) -> None:
        """See `Held`."""
        self.transport.abort()

    def dismiss(self) -> None:
        """See `Held`."""
        self.transport.close()
        self._settle()

    def has_unread(self) -> bool:
        """See `Held`."""
        if self._refusal_sent:
            return False
        looking = select.poll()
        looking.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(looking.poll(0))

    def has_unsent(self) -> bool:
        """See `Held`."""
        return self.transport.get_write_buffer_size() > 0

    def shutdown(self) -> None:
        """The server stops: answer what has begun to arrive, and close."""
        if self.cycle is not None:
            self.cycle.keep_alive = False
        if self._turn == "ask":
            self.dismiss()

    def pause_writing(self) -> None:
        """The client is slow to take its answer."""
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        self._settle()

    def on_response_complete(self) -> None:
        """It is the client's turn, or that of the next request."""
        super().on_response_complete()
        self._settle()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def _settle(self) -> None:
        """Tell whose turn it is, if that has changed."""
        turn = self._client_may()
        if turn != self._turn:
            self._turn = turn
            if turn is None:
                self._held.busy(self)
            else:
                self._held.turn(self, turn)

    def _client_may(self) -> Turn | None:
        """What the client may do next; None while it waits for an answer."""
        if self._refusal_sent:
            return "read_refusal"
        if self.transport.is_closing():
            return "leave"
        if self.flow.write_paused:
            return "take"
        if self._asking and (self._in_head or self._under_way is not self.cycle):
            return None
        return "send" if self._unparsed or not self._between_requests else "ask"

    @property
    def _asking(self) -> bool:
        """Whether a request has been passed on and not been answered."""
        return self._under_way is not None and not self._under_way.response_complete
