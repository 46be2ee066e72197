"""The process that serves: its listener, its signals, and how it stops without a caller noticing."""

import asyncio
import gc
import importlib.util
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvicorn

from service.api.connections import PATIENCE_SECONDS, hold_connections
from service.api.hit_lane import HitLane
from service.api.http_protocol import TolerantProtocol
from service.api.lifecycle import Lifecycle
from service.api.listener import BACKLOG, Listener
from service.constants import MAX_PREWARM_SECONDS
from service.errors import ConfigurationError
from service.logs import configure_logging, log_loop_error
from service.main import create_app
from service.open_files import max_connections, raise_open_files
from service.settings import Settings
from service.settings.key_files import lines_with_commas
from service.settings.unknown import unknown_variables
from service.spans import trace_with

if TYPE_CHECKING:  # an extra, which may not be installed
    from service.tracing import Tracing

_log = structlog.stdlib.get_logger(__name__)

OTLP_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables; with neither set there are no spans."""

MIN_FINISHING_SECONDS: Final = 5.0
"""Accepted requests may take at least this long after the listener is closed."""

SERVER: Final[Mapping[str, Any]] = {
    "loop": "uvloop",
    "http": TolerantProtocol,
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "backlog": BACKLOG,
    "timeout_keep_alive": int(PATIENCE_SECONDS["ask"]),
}
"""Uvicorn's settings; `docs/performance.md` says what each was chosen for."""


class DrainingServer(uvicorn.Server):
    """Uvicorn that falls out of readiness before it stops listening, and exits 0 after a signal.

    A load balancer needs a moment to see that the replica is not ready. Until then the replica answers its callers.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        hold_connections(self.server_state, lifecycle.connections)
        self._draining: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None
        self.gave_up = False
        """Whether a signal has ended the start, which may wait for a catalogue that does not come."""
        self.listen_error: OSError | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals for as long as the block lasts.

        Uvicorn's own raises the signal again when all is done, which ends the process with its number.
        """
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for one in signals:
            loop.add_signal_handler(one, self.handle_exit, one, None)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for one in (*signals, signal.SIGHUP):
                loop.remove_signal_handler(one)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open everything, then listen with listeners of our own."""
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        if self.should_exit:
            return
        self._starting = asyncio.current_task()
        await super().startup(sockets=[])
        self._starting = None
        for one in sockets or []:
            listener = Listener(one, self._lifecycle.connections, self._create_protocol)
            try:
                listener.start()
            except OSError as error:
                # Two that start at the same moment can both bind; only one of them can listen.
                self.listen_error = error
                self.should_exit = True
                return
            # Uvicorn asks of a server only what a listener has too.
            self.servers.append(listener)  # type: ignore[arg-type]
        _calm_the_collector()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was accepted, and close everything."""
        self._lifecycle.connections.stop()
        await super().shutdown(sockets)

    def _create_protocol(self) -> TolerantProtocol:
        return TolerantProtocol(self.config, self.server_state, self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one does not wait; nobody waits for an answer while all starts."""
        del frame
        if self._starting is not None and self._lifecycle.phase == "starting":
            self.gave_up = True
            _log.info("start_given_up")
            self._starting.cancel()
            return
        self._lifecycle.phase = "draining"
        if self._draining is not None or sig == signal.SIGINT or not self._drain_seconds:
            self.should_exit = True
            return
        _log.info("draining")
        self._say_goodbye()
        self._draining = asyncio.get_running_loop().call_later(self._drain_seconds, self._stop)

    def _say_goodbye(self) -> None:
        """Let every answer from now on end its connection, so that the next request goes to another replica.

        When the listener closes, connections that were not announced close too, perhaps under a request.
        """
        header = (b"connection", b"close")
        # Each second the server makes the first list anew from the second one; answers under way hold the first.
        self.server_state.default_headers.append(header)
        self.config.encoded_headers.append(header)

    def _hang_up(self) -> None:
        self._lifecycle.on_hangup()

    def _stop(self) -> None:
        self.should_exit = True


def finishing_seconds(deadline_seconds: float) -> float:
    """How long accepted requests may take after the listener is closed, so that each is answered.

    Args:
        deadline_seconds: REQUEST_DEADLINE_SECONDS; a prewarm's last transaction may take as long.
    """
    return max(MIN_FINISHING_SECONDS, MAX_PREWARM_SECONDS + deadline_seconds)


def serve(settings: Settings, create: Callable[[Settings], HitLane] = create_app) -> None:
    """Run the service until a signal.

    Args:
        settings: What the operator decides.
        create: Builds the application.

    Raises:
        ConfigurationError: The catalogue or the address cannot work.
    """
    # What a start makes stays: walking it again and again would take a tenth of its time.
    gc.disable()
    configure_logging(settings.log_level, settings.log_format)
    _tell_of_settings(settings)
    tracing = _tracing()
    app = create(settings)
    if tracing is not None:
        app.surround(tracing.around)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(finishing_seconds(settings.request_deadline_seconds)),
        **SERVER,
    )
    app.lifecycle.connections.max_open = max_connections(raise_open_files())
    server = DrainingServer(config, app.lifecycle, settings.drain_seconds)
    listener = _listen(settings.host, settings.port)
    # The operator wants the one line of the mistake, not uvicorn's record of it with a traceback.
    logging.getLogger("uvicorn.error").addFilter(lambda _: app.startup_error is None and not server.gave_up)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if app.startup_error is None:
            raise
    except asyncio.CancelledError:
        if not server.gave_up:
            raise
    finally:
        if tracing is not None:
            trace_with(None)
            tracing.close()
    if app.startup_error is not None:
        raise app.startup_error
    if server.listen_error is not None:
        raise _cannot_listen(settings.host, settings.port, server.listen_error)


def _tell_of_settings(settings: Settings) -> None:
    """Log what is no mistake in a setting, and yet likely to be one."""
    for variable in unknown_variables():
        hint = f"write {variable.meant}" if variable.meant else "remove it, or correct it"
        _log.warning("setting_unknown", variable=variable.name, remedy=hint)
    for name, path in settings.key_files.items():
        for line in lines_with_commas(path):
            remedy = "a comma ends a key; write one key a line"
            _log.warning("key_file_comma", variable=name, line=line, remedy=remedy)


def _calm_the_collector() -> None:
    """Look at young objects less often, and never again at what lives until shutdown.

    The cached values themselves are bytes or tuples of bytes, which the collector does not track. What the start left
    over is not looked for first: it is next to nothing, and finding it takes a twelfth of the start.

    Young objects are looked at in small parts: the twenty thousand that a burst of events left held up the loop for 5
    to 15 ms.
    """
    gc.freeze()
    gc.set_threshold(5_000, 40, 200)
    gc.enable()


def _tracing() -> "Tracing | None":
    if not any(os.environ.get(name) for name in OTLP_ENDPOINTS):
        return None
    if not importlib.util.find_spec("opentelemetry") or not importlib.util.find_spec("opentelemetry.exporter"):
        _log.warning("tracing_not_installed")
        return None
    from service.tracing import Tracing  # noqa: PLC0415  # an extra

    tracing = Tracing()
    trace_with(tracing.span)
    return tracing


def _listen(host: str, port: int) -> socket.socket:
    """A socket at this address.

    Raises:
        ConfigurationError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"HOST, PORT: cannot listen on {host}:{port}: {error.strerror}")
