"""Whether a client has left, before anything is done for it: a flood of such clients keeps everybody else waiting."""

import errno
import socket
import sys
from typing import Final

from service.api.limits import MAX_TARGET_BYTES

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_CLOSE: Final = 7
_CLOSE_WAIT: Final = 8
"""States of a connection, as the kernel numbers them. Source: include/net/tcp_states.h of Linux"""

_PEEK: Final = socket.MSG_PEEK | socket.MSG_DONTWAIT
_OTHER_KIND: Final = frozenset({errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EINVAL})


def has_left(connected: socket.socket) -> bool:
    """Whether a client has closed its side, and has sent no whole head: there is nothing to answer.

    Only Linux tells; elsewhere nobody is known to have left.
    """
    state = _state_of(connected)
    if state != _CLOSE_WAIT:
        return state == _CLOSE
    try:
        return b"\r\n\r\n" not in connected.recv(MAX_TARGET_BYTES, _PEEK)
    except OSError:
        return True


def has_closed(connected: socket.socket) -> bool:
    """Whether a client has closed its side, whatever it has sent before."""
    return _state_of(connected) in (_CLOSE, _CLOSE_WAIT)


def _state_of(connected: socket.socket) -> int:
    """As the kernel numbers it; 0 where it is not known."""
    if _TCP_INFO is None:
        return 0
    try:
        return connected.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
    except OSError as error:
        # A socket of another kind, such as one of a path, has no such state.
        return 0 if error.errno in _OTHER_KIND else _CLOSE
