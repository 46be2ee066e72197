"""Where log lines go and what they look like; `docs/operate/metrics.md` lists the events.

Nothing of a request is in a line at info or above. So a traceback has no local variables, and no message that could
quote a value: Python writes the missing key into a KeyError, and the AWS SDK the user's id into its own errors.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from traceback import TracebackException
from typing import Any, Final, NoReturn, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from service.errors import ConfigurationError

_log = structlog.stdlib.get_logger(__name__)

HIDDEN: Final = "(hidden, since it may quote a request; LOG_LEVEL=debug shows it)"
"""In the place of an exception's message."""

NAMING_NO_VALUE: Final = (
    ConfigurationError,
    asyncio.CancelledError,
    AttributeError,
    ImportError,
    NameError,
    RecursionError,
    TypeError,
    ZeroDivisionError,
)
"""Exceptions whose messages speak of code or settings only."""

_MAX_FRAMES: Final = 50
"""The innermost of each exception."""

_QUIET_LIBRARIES: Final = ("botocore", "aiobotocore", "aiohttp", "urllib3")
"""The SDK logs each request's parameters, user id included, at debug."""


def configure_logging(level: str, log_format: str) -> None:
    """Send every log, ours and the libraries', through one formatter to standard error.

    Args:
        level: debug, info, warning, error or critical.
        log_format: `json`, one object a line, or `text` for people; in color where a terminal shows it.
    """
    as_json = log_format == "json"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        _without_color,
    ]
    tracebacks = _Tracebacks(show_messages=level == "debug", as_json=as_json)
    last: list[Processor] = [structlog.processors.ExceptionRenderer(tracebacks)]
    if as_json:
        last.append(structlog.processors.JSONRenderer(serializer=_as_json))
    else:
        colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        last += [_for_people, structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=0)]
    handler = logging.StreamHandler(sys.stderr)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, *last, _Writer(handler)],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what failed behind every request; an event loop's exception handler.

    Python's own handler logs the failed task and the arguments of the failed callback, which may hold a request.
    """
    what = str(context.get("message", "")).partition("(")[0].partition("<")[0].strip()
    _log.error("background_error", what=what, exc_info=context.get("exception"))


class _Writer:
    """Writes the lines of structlog's loggers where those of `logging` go, without a record of `logging` for each.

    The record would cost twice what the line costs, and access lines are a part of what a hit costs.

    Args:
        handler: Of the lines of `logging`.
    """

    def __init__(self, handler: "logging.StreamHandler[TextIO]") -> None:
        self._handler = handler

    def __call__(self, _: object, __: str, line: Any) -> NoReturn:  # noqa: ANN401  # structlog declares it so
        """Write a line, and let structlog do nothing more."""
        # There is nowhere to say that the log cannot be written.
        with self._handler.lock or nullcontext(), suppress(OSError, ValueError):
            self._handler.stream.write(f"{line}\n")
            self._handler.flush()
        raise structlog.DropEvent


class _Tracebacks:
    """Writes an exception with its causes: types, frames, and messages as far as they name no value.

    Args:
        show_messages: Whether to show every message.
        as_json: A list of objects, the exception before its causes; else text, as Python orders it.
    """

    def __init__(self, *, show_messages: bool, as_json: bool) -> None:
        self._show_messages = show_messages
        self._as_json = as_json

    def __call__(self, exc_info: ExcInfo) -> Any:  # noqa: ANN401  # structlog declares it so
        """The exception as the renderer takes it."""
        chain = list(self._chain(TracebackException(*exc_info, limit=-_MAX_FRAMES, capture_locals=False)))
        return chain if self._as_json else "\n".join(_lines(chain))

    def _chain(self, error: TracebackException | None) -> Iterator[dict[str, Any]]:
        while error is not None:
            kind = error.exc_type or BaseException
            shown = self._show_messages or issubclass(kind, NAMING_NO_VALUE)
            yield {
                "exc_type": kind.__qualname__,
                "exc_value": str(error) if shown else HIDDEN,
                "frames": [{"filename": one.filename, "lineno": one.lineno, "name": one.name} for one in error.stack],
                "exceptions": [list(self._chain(one)) for one in error.exceptions or ()],
            }
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _lines(chain: list[dict[str, Any]]) -> Iterator[str]:
    for one in reversed(chain):
        yield "Traceback (most recent call last):"
        for frame in one["frames"]:
            yield f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        yield f"{one['exc_type']}: {one['exc_value']}"
        for inner in one["exceptions"]:
            yield from (f"  | {line}" for line in _lines(inner))


def _for_people(_: object, __: str, event: EventDict) -> EventDict:
    """Without what nobody reads at a terminal: loggers' names, and fields that say nothing."""
    return {name: value for name, value in event.items() if value is not None and name != "logger"}


def _as_json(event: EventDict, **_: object) -> str:
    return _encoder.encode(event)


_encoder: Final = json.JSONEncoder(default=repr)


def _without_color(_: object, __: str, event: EventDict) -> EventDict:
    """Uvicorn says everything twice, once with escape codes."""
    event.pop("color_message", None)
    return event
