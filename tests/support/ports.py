"""Loopback ports for processes that cannot choose one themselves and say which."""

import itertools
import os
import secrets
import socket
from collections.abc import Sequence

_FIRST, _LAST = 20_000, 32_000
"""Below the ports that the kernel gives to clients, so that no connection takes one between the look and its use."""

_PARTS = 16
"""Workers of a run, and runs beside each other, look in different parts: two that found the same port free at the same
time would both use it."""


def _part() -> Sequence[int]:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (_LAST - _FIRST) // _PARTS
    # The workers of a run have the same parent.
    first = _FIRST + (os.getppid() * 5 + number) % _PARTS * size
    part = range(first, first + size)
    # Another run may have the same part.
    begin = secrets.randbelow(size)
    return (*part[begin:], *part[:begin])


_ports = itertools.cycle(_part())


def free_port() -> int:
    """A port that nobody listens on, and that this process has not given away lately."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round")
