"""Loopback ports for processes that cannot choose one themselves and say which."""

import itertools
import os
import socket

_FIRST, _LAST = 20_000, 32_000
"""Below the ports that the kernel gives to clients, so that no connection takes one between the look and its use."""

_ports = itertools.cycle(range(_FIRST, _LAST))
_skipped = False


def free_port() -> int:
    """A port that nobody listens on, and that this process has not given away lately."""
    global _skipped  # noqa: PLW0603  # one sequence for the process
    if not _skipped:
        # Test runs beside each other begin at different places.
        for _ in range(os.getpid() * 37 % (_LAST - _FIRST)):
            next(_ports)
        _skipped = True
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round")
