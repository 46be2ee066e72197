"""A request's first line as a template makes it whose author did not write `url_param_escape`."""

import re

_REQUEST_LINE = re.compile(rb"([A-Z]+ )([^\x00-\x1f\x7f]+)( HTTP/1\.[01]\r?)")


_NOT_ASCII = bytes(range(0x80, 0x100))
_BLANKS = 2


def needs_escapes(line: bytes) -> bool:
    """Whether there is more in a first line than a method, a target and a version with a blank between them."""
    return not line.isascii() or line.count(b" ") > _BLANKS


def escaped_bytes(line: bytes) -> int:
    """Length of `escaped(line)`, a few bytes more or less."""
    ascii_bytes = len(line.translate(None, _NOT_ASCII))
    return len(line) + 2 * (len(line) - ascii_bytes + line.count(b" ") - _BLANKS)


def escaped(line: bytes) -> bytes:
    """A request's first line with everything percent-encoded that its target may not hold.

    Only functions written in C: the line may have 64 kB, and a call for each letter would hold the event loop.
    """
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        return line
    target = parts[2].replace(b" ", b"%20").replace(b"\\", b"%5C")
    # The codec writes a byte outside ASCII as \xhh; no other backslash is left. Encoding is the fast direction.
    target = target.decode("latin-1").encode("ascii", "backslashreplace").replace(b"\\x", b"%")
    return parts[1] + target + parts[3]
