"""Who has left, by what the kernel says of a connection and what is still to be read from it."""

import errno
import socket
from typing import Any

import pytest

from service.api import leaving
from service.api.limits import MAX_TARGET_BYTES

TCP_INFO = 11
ESTABLISHED, CLOSE, CLOSE_WAIT = 1, 7, 8
WHOLE, PART = b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n"


class Connected:
    """A socket in such a state, or one of which the kernel cannot tell it."""

    def __init__(self, state: int | OSError, unread: bytes | OSError = b"") -> None:
        self.state, self.unread = state, unread
        self.read = 0

    def getsockopt(self, *which: int) -> bytes:
        assert which == (socket.IPPROTO_TCP, TCP_INFO, 1)
        if isinstance(self.state, OSError):
            raise self.state
        return bytes([self.state])

    def recv(self, size: int, flags: int) -> bytes:
        # All that may be a head, left where it is, and without a wait.
        assert (size, flags) == (MAX_TARGET_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        self.read += 1
        if isinstance(self.unread, OSError):
            raise self.unread
        return self.unread


@pytest.fixture(autouse=True)
def _as_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "_TCP_INFO", TCP_INFO)


@pytest.mark.parametrize(
    ("state", "unread", "left", "closed", "reads"),
    [
        (ESTABLISHED, WHOLE, False, False, 0),
        (ESTABLISHED, b"", False, False, 0),
        (CLOSE, WHOLE, True, True, 0),
        (CLOSE_WAIT, WHOLE, False, True, 1),
        (CLOSE_WAIT, WHOLE + b"more", False, True, 1),
        (CLOSE_WAIT, PART, True, True, 1),
        (CLOSE_WAIT, b"", True, True, 1),
        (CLOSE_WAIT, OSError(errno.ECONNRESET, "reset"), True, True, 1),
        (0, WHOLE, False, False, 0),
        (9, WHOLE, False, False, 0),
        (OSError(errno.EOPNOTSUPP, "of a path"), b"", False, False, 0),
        (OSError(errno.ENOPROTOOPT, "of a path"), b"", False, False, 0),
        (OSError(errno.EINVAL, "of a path"), b"", False, False, 0),
        (OSError(errno.EBADF, "is closed"), b"", True, True, 0),
    ],
)
def test_who_has_closed_has_left_unless_a_whole_head_is_there_to_be_answered(
    state: int | OSError, unread: bytes | OSError, *, left: bool, closed: bool, reads: int
) -> None:
    connected: Any = Connected(state, unread)
    assert leaving.has_left(connected) is left
    assert connected.read == reads
    assert leaving.has_closed(connected) is closed
    assert connected.read == reads


def test_where_the_kernel_does_not_tell_nobody_is_known_to_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "_TCP_INFO", None)
    connected: Any = Connected(CLOSE)
    assert not leaving.has_left(connected)
    assert not leaving.has_closed(connected)
