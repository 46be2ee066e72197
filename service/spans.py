"""Spans where the work is; nothing at all unless somebody traces.

`service.tracing`, which needs the extra `otel`, puts its tracer here. Without one a span costs a call.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

Tracer = Callable[[str], AbstractContextManager[object]]
"""Makes a span of this name, for as long as the block lasts."""


class _NoSpan:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class _Current:
    tracer: Tracer | None = None


_NO_SPAN = _NoSpan()


def span(name: str) -> AbstractContextManager[object]:
    """A span of this name, child of the one around it; the name holds nothing of a user."""
    tracer = _Current.tracer
    return _NO_SPAN if tracer is None else tracer(name)


def is_traced() -> bool:
    """Whether anybody traces; asked where even a span that does nothing is felt."""
    return _Current.tracer is not None


def trace_with(tracer: Tracer | None) -> None:
    """Make the spans of this process with a tracer; None makes none."""
    _Current.tracer = tracer
