"""Heads of requests that the parser has read before, but for values on which nothing depends.

A load balancer numbers the requests that it passes on, so no two of them are the same. Their headers have the same
names in the same order, and the values that count are the same too.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

Shape: TypeAlias = tuple[bytes, ...]
"""The headers of a request in their order: each as it stands, or its name only where the value may be any."""

OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})
OF_CONNECTIONS: Final = frozenset({b"connection", b"proxy-connection", b"upgrade"})
_OF_READING: Final = OF_BODIES | OF_CONNECTIONS | {b"expect"}
"""Headers that the server looks at for its own sake."""

MAX_SHAPES: Final = 32
"""Of all clients together; a load balancer has one, and a proxy before it another one."""

EMPTIED_SECONDS: Final = 60.0
"""At most so often all shapes make room at once: a client that makes up headers costs some milliseconds a minute."""

_LINE_END: Final = b"\r\n"
_NAME: Final = re.compile(rb"[A-Za-z0-9-]+")
# Words with one blank between them: what no reader of HTTP takes for anything but a value.
_VALUE: Final = rb"[!-~]++(?: [!-~]++)*+"


class KnownHeads:
    """The shapes of all connections of a server.

    Args:
        answering: Headers, in lower case, that an answer depends on.
        monotonic: The clock by which shapes make room.
    """

    def __init__(self, answering: frozenset[bytes], monotonic: Callable[[], float]) -> None:
        self._telling = answering | _OF_READING
        self._monotonic = monotonic
        self._patterns: dict[Shape, re.Pattern[bytes]] = {}
        self._emptied_at = monotonic()

    def shape(self, end: bytes) -> Shape | None:
        """That of what stands behind a request's target; None where it has one line that is out of the ordinary."""
        found = []
        for line in end.split(_LINE_END)[1:-2]:
            name, separator, _ = line.partition(b": ")
            if not separator or not _NAME.fullmatch(name):
                return None
            found.append(line if name.lower() in self._telling else name)
        return tuple(found)

    def pattern(self, shape: Shape) -> re.Pattern[bytes] | None:
        """Matches whole GET requests of this shape, with the target as its group; None while there is no room."""
        found = self._patterns.get(shape)
        if found is not None:
            return found
        if len(self._patterns) >= MAX_SHAPES:
            if self._monotonic() - self._emptied_at < EMPTIED_SECONDS:
                return None
            self._emptied_at = self._monotonic()
            self._patterns.clear()
        lines = (re.escape(one) if b": " in one else re.escape(one) + b": " + _VALUE for one in shape)
        whole = _LINE_END.join([rb"GET ([!-~]++) HTTP/1\.1", *lines, b"", b""])
        found = self._patterns[shape] = re.compile(whole)
        return found
