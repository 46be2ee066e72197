"""Accepts connections while there is room for them.

The event loop's own servers accept whatever comes. Where no file is left they close it, without a word. This one leaves
connections in the kernel's queue until there is room, so that a burst waits for milliseconds and is not cut.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from service.api.connections import Connections
from service.api.leaving import has_left

BACKLOG: Final = 4_096
"""Connections that may wait in the kernel: the burst in which a send begins."""

MAX_ACCEPTED: Final = 32
"""In one step of the event loop, so that answers get their turn too."""

MAX_LEFT: Final = 512
"""Of clients that have left already; each takes a hundredth of one that has not."""

SWEEP_SECONDS: Final = 1.0
"""Between two looks at whose patience has run out."""

RETRY_SECONDS: Final = 0.05
"""Longest pause when there is no room."""

_NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """A listening socket, in the place of one of asyncio's servers.

    Args:
        listening: Bound to its address.
        connections: All that are open.
        create_protocol: Makes the protocol of a new one.
    """

    def __init__(
        self, listening: socket.socket, connections: Connections, create_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._socket = listening
        self._connections = connections
        self._create_protocol = create_protocol
        self._loop = asyncio.get_running_loop()
        self._accepting = False
        self._closed = False
        self._opening: set[asyncio.Task[Any]] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._socket.setblocking(False)  # the library's own signature
        self._socket.listen(BACKLOG)
        self._resume()
        self._sweep()

    def close(self) -> None:
        """Accept no more than what has connected already; patience goes on to run out."""
        if not self._closed:
            self._accept()
            self._pause()
            self._closed = True
            self._socket.close()

    async def wait_closed(self) -> None:
        """Return when every connection has been handed over; nobody's patience is looked at any more."""
        await asyncio.gather(*self._opening, return_exceptions=True)
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _accept(self) -> None:
        opened, left = 0, 0
        while opened < MAX_ACCEPTED and left < MAX_LEFT:
            if not self._connections.has_room():
                if not opened:
                    self._connections.tell_full(waiting=True)
                self._wait_for_room()
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                self._connections.make_file()
                self._wait_for_room()
                return
            if has_left(accepted):
                accepted.close()
                left += 1
            else:
                self._open(accepted)
                opened += 1

    def _open(self, accepted: socket.socket) -> None:
        self._connections.expect()
        opening = self._loop.create_task(self._loop.connect_accepted_socket(self._create_protocol, accepted))
        self._opening.add(opening)
        opening.add_done_callback(partial(self._opened, accepted))

    def _opened(self, accepted: socket.socket, opening: "asyncio.Task[Any]") -> None:
        self._opening.discard(opening)
        if opening.cancelled() or opening.exception() is not None:
            self._connections.failed()
            accepted.close()

    def _wait_for_room(self) -> None:
        self._pause()
        self._connections.on_room = self._resume
        # Newcomers make room as they grow older, which nobody tells.
        self._loop.call_later(RETRY_SECONDS, self._resume)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket)

    def _resume(self) -> None:
        self._connections.on_room = None
        if not self._accepting and not self._closed:
            self._accepting = True
            self._loop.add_reader(self._socket, self._accept)

    def _sweep(self) -> None:
        self._connections.sweep()
        self._sweeping = self._loop.call_later(SWEEP_SECONDS, self._sweep)
