"""The open connections of a server: how many there may be, for how long each may keep it waiting, who makes room.

A connection is busy while a whole request waits for its answer. At every other time it is the client's turn: to ask,
to go on with a request, to take an answer, to close. Then two things hold, whatever was asked before: its patience runs
out, and among all such connections the one whose turn has lasted longest makes room for a new one. Spared is who has
just connected and whose request is on its way, who has just been answered and whose answer is, and whose next request
has arrived and is not read yet.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, Protocol
from weakref import WeakKeyDictionary

import structlog
from uvicorn.server import ServerState

from service.api.delays import Delays

_log = structlog.stdlib.get_logger(__name__)

MAX_CONNECTIONS: Final = 8_192
"""Open at a time; fewer where the process may open fewer files."""

Turn = Literal["ask", "send", "take", "leave", "read_refusal"]
"""What a client may do next: begin a request, send the rest of it, take its answer, close, read why it was refused."""

PATIENCE_SECONDS: Final[dict[Turn, float]] = {
    # Longer than a load balancer's 60, so that the service never closes under the next call.
    "ask": 75.0,
    # From the first byte of a request to its last; a slow phone's takes two, and Braze's one packet.
    "send": 10.0,
    "take": 20.0,
    "leave": 20.0,
    # What a refused client still sends is dropped for so long: closed before, the refusal would be lost in a reset.
    "read_refusal": 3.0,
}
"""How long each turn may last."""

ON_THE_WAY_SECONDS: Final = 1.0
"""So long a new connection makes no room, nor one whose answer is not sent: a client that opens many is slow."""

MAX_SPARED: Final = 32
"""Connections that are passed over in one search for room."""

LAST_SECONDS: Final = 2.0
"""The same for every turn, once the server stops."""

WARN_EVERY_SECONDS: Final = 60.0

Cause = Literal["room", "files", "late", "untaken"]
"""Why a connection was cut: it made room, no file was left, its request or the taking of its answer took too long."""

CAUSES: Final[tuple[Cause, ...]] = ("room", "files", "late", "untaken")


class Held(Protocol):
    """A connection."""

    def cut(self) -> None:
        """Close it now; what it has not been sent is lost."""

    def dismiss(self) -> None:
        """Close it when it has been sent everything."""

    def has_unread(self) -> bool:
        """Whether the client has sent something that nobody has looked at."""

    def has_unsent(self) -> bool:
        """Whether something for the client is still in this process."""


class Connections:
    """All open connections of a server.

    Args:
        max_open: There may be so many.
        monotonic: The clock that patience runs by.
    """

    def __init__(self, max_open: int = MAX_CONNECTIONS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.max_open = max_open
        self.cut: dict[str, int] = {str(cause): 0 for cause in CAUSES}
        """How many were cut, by `Cause`."""
        self.on_room: Callable[[], None] | None = None
        """Called when there may be room again after there was none."""
        self.on_refused: Callable[[str, int, str, str], None] | None = None
        """Called with path, status, parameter and reason of what is refused without a look at the service."""
        self.delays = Delays(monotonic)
        """How long refusals wait that need no look at the service."""
        self._monotonic = monotonic
        self._expected = 0
        self._open: set[Held] = set()
        self._closing: set[Held] = set()
        self._newcomers: OrderedDict[Held, float] = OrderedDict()
        self._answered: OrderedDict[Held, float] = OrderedDict()
        self._until: dict[Held, tuple[float, Turn]] = {}
        self.stopping = False
        """Whether the server stops."""
        self._warned_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def idle(self) -> int:
        """Connections on which it is the client's turn."""
        return len(self._newcomers) + len(self._answered)

    def expect(self) -> None:
        """A client has connected: make room if there is none; `opened` or `failed` follows."""
        if self._is_full():
            self.tell_full(waiting=False)
            self._make_room("room")
        self._expected += 1

    def failed(self) -> None:
        """It had gone before that was done."""
        self._expected -= 1

    def opened(self, one: Held) -> None:
        """A client may ask."""
        self._expected = max(0, self._expected - 1)
        self._open.add(one)
        self._newcomers[one] = self._monotonic()
        self._wait(one, "ask")

    def turn(self, one: Held, turn: Turn) -> None:
        """It is the client's turn; the place in the order stays that of the first turn since the last answer."""
        if one not in self._open:
            return
        if one not in self._newcomers and one not in self._answered:
            self._answered[one] = self._monotonic()
            self._tell_room()
        self._wait(one, turn)

    def busy(self, one: Held) -> None:
        """A whole request waits for its answer."""
        self._forget(one)

    def answered(self, one: Held) -> None:
        """It asked, and was answered in the same moment; as `busy` and then `turn`, for most calls of a send."""
        if one not in self._open:
            return
        now = self._monotonic()
        self._newcomers.pop(one, None)
        self._answered[one] = now
        self._answered.move_to_end(one)
        self._until[one] = now + (LAST_SECONDS if self.stopping else PATIENCE_SECONDS["ask"]), "ask"
        self._tell_room()

    def closed(self, one: Held) -> None:
        """It is gone."""
        self._forget(one)
        self._closing.discard(one)
        self._open.discard(one)
        self._tell_room()

    def has_room(self) -> bool:
        """Whether one more may be opened, or another would make room for it."""
        return not self._is_full() or self._to_be_cut() is not None

    def make_file(self) -> bool:
        """Close a connection, so that there is a file for another; False if there is none that could be closed.

        The file is there as soon as the event loop has closed what was cut.
        """
        made = bool(self._closing) or self._make_room("files")
        if self._is_due("files"):
            _log.warning("open_files_used_up", open=len(self._open), waiting=not made)
        return made

    def tell_full(self, *, waiting: bool) -> None:
        """Log that as many are open as may be, at most once a minute; `waiting`: and no one makes room."""
        if self._is_due("full"):
            open_now, cut = len(self._open), sum(self.cut.values())
            _log.warning("connections_full", open=open_now, max_open=self.max_open, cut=cut, waiting=waiting)

    def refused(self, path: str, status: int, reason: str) -> None:
        """A request was refused before anybody has looked at it."""
        if self.on_refused is not None:
            self.on_refused(path, status, "", reason)

    def sweep(self) -> None:
        """Close those whose patience has run out; called about once a second."""
        now = self._monotonic()
        for one, turn in [(one, turn) for one, (until, turn) in self._until.items() if until <= now]:
            if turn == "ask":
                one.dismiss()
            elif turn == "read_refusal":
                self.busy(one)
                one.cut()
            else:
                self._cut(one, "late" if turn == "send" else "untaken")

    def stop(self) -> None:
        """From now on nobody is waited for longer than `LAST_SECONDS`."""
        self.stopping = True
        last = self._monotonic() + LAST_SECONDS
        self._until = {one: (min(until, last), turn) for one, (until, turn) in self._until.items()}

    def _cut(self, one: Held, cause: Cause) -> None:
        self.cut[cause] += 1
        self._forget(one)
        self._open.discard(one)
        self._closing.add(one)
        one.cut()

    def _is_due(self, what: str) -> bool:
        now = self._monotonic()
        if now - self._warned_at.get(what, -math.inf) < WARN_EVERY_SECONDS:
            return False
        self._warned_at[what] = now
        return True

    def _is_full(self) -> bool:
        return len(self._open) + self._expected >= self.max_open

    def _make_room(self, cause: Cause) -> bool:
        one = self._to_be_cut()
        if one is not None:
            self._cut(one, cause)
        return one is not None

    def _to_be_cut(self) -> Held | None:
        """The connection that has been the client's turn longest, less those that are spared."""
        now = self._monotonic()
        for _ in range(MAX_SPARED):
            one, since = self._idle_longest()
            if one is None:
                return None
            unread = one.has_unread()
            if not unread and not (one.has_unsent() and now - since < ON_THE_WAY_SECONDS):
                return one
            kept = self._newcomers if one in self._newcomers else self._answered
            kept.move_to_end(one)
            if unread:
                kept[one] = now
        return None

    def _idle_longest(self) -> tuple[Held | None, float]:
        newcomer = next(iter(self._newcomers.items()), (None, math.inf))
        answered = next(iter(self._answered.items()), (None, math.inf))
        is_on_the_way = self._monotonic() - newcomer[1] < ON_THE_WAY_SECONDS
        return answered if is_on_the_way or answered[1] < newcomer[1] else newcomer

    def _wait(self, one: Held, turn: Turn) -> None:
        seconds = min(PATIENCE_SECONDS[turn], LAST_SECONDS) if self.stopping else PATIENCE_SECONDS[turn]
        self._until[one] = self._monotonic() + seconds, turn

    def _forget(self, one: Held) -> None:
        self._newcomers.pop(one, None)
        self._answered.pop(one, None)
        self._until.pop(one, None)

    def _tell_room(self) -> None:
        if self.on_room is not None:
            self.on_room()


_by_server: WeakKeyDictionary[ServerState, Connections] = WeakKeyDictionary()


def connections_of(server: ServerState) -> Connections:
    """The connections of a server; uvicorn gives every protocol its server's state, and nothing of ours."""
    found = _by_server.get(server)
    if found is None:
        found = _by_server[server] = Connections()
    return found


def hold_connections(server: ServerState, connections: Connections) -> None:
    """Let all protocols of a server use these."""
    _by_server[server] = connections
