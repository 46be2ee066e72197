"""The process: it learns, listens, says where, and answers until it is stopped."""

import gc
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.local_personalize.app import create_app
from service.local_personalize.arns import CAMPAIGN_ARN
from service.local_personalize.control.control_plane import ControlPlane
from service.local_personalize.control.durations import DEFAULT_SPEED
from service.local_personalize.control.quotas import parse_quotas
from service.local_personalize.control.workers import ChildProcesses
from service.local_personalize.data import read_dataset
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.http import RESET, Application
from service.local_personalize.learn import learn

_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST instead of FIN."""


def serve(
    *,
    data: Path | None,
    host: str,
    port: int,
    tps: float,
    latency_ms: float,
    campaign_arns: Iterable[str] = (),
    recommender_arns: Iterable[str] = (),
    filters: Iterable[str] = (),
    tracking_ids: Iterable[str] = (),
    state: Path | None = None,
    speed: float = DEFAULT_SPEED,
    quotas: Iterable[str] = (),
    names: Iterable[str] = (),
) -> None:
    """Learn from a directory, if there is one, and answer until interrupted; port 0 takes a free one.

    Prints one line when it listens, with the address and how to point the SDK to it.

    Raises:
        LocalPersonalizeError: The data cannot be used or the address cannot be had.
    """
    started = time.perf_counter()
    limits = parse_quotas(quotas)
    model = None if data is None else learn(read_dataset(data))
    with ExitStack() as stack:
        directory = state or Path(stack.enter_context(TemporaryDirectory(prefix="local-personalize-")))
        control = ControlPlane(directory, workers=ChildProcesses(), speed=speed, wall_clock=time.time, quotas=limits)
        stack.callback(control.close)
        app = create_app(
            model,
            tps=tps,
            latency_ms=latency_ms,
            campaign_arns=campaign_arns,
            recommender_arns=recommender_arns,
            filters=filters,
            tracking_ids=tracking_ids,
            control=control,
            hosts=frozenset(name.lower() for name in (host, *names)),
        )
        # The model lives as long as the process: out of the collector's sight it costs no pauses.
        gc.freeze()
        learned = "control plane only"
        if model is not None:
            took = time.perf_counter() - started
            learned = f"{model.item_count:,} items, {model.user_count:,} users, {took:.1f} s"
        listener = stack.enter_context(listen(host, port))
        with suppress(KeyboardInterrupt):
            _AnnouncingServer(server_config(app), learned=learned).run(sockets=[listener])


def server_config(app: Application) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=_ResettableProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        # Longer than clients keep idle connections, so that it is not we who close under their next call.
        timeout_keep_alive=75,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at this address.

    Raises:
        LocalPersonalizeError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise LocalPersonalizeError(f"cannot listen on {host}:{port}: {error}") from error
    # asyncio sets this only on sockets made with an explicit protocol; without it each answer to an SDK
    # that keeps its connection waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _AnnouncingServer(uvicorn.Server):
    """Says so when it is listening."""

    def __init__(self, config: uvicorn.Config, *, learned: str) -> None:
        super().__init__(config)
        self._learned = learned

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            click.echo(
                f"Local Personalize ready on {url} ({self._learned}); "
                f"use it with AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME={url} and {CAMPAIGN_ARN}"
            )


class _ResettableProtocol(HttpToolsProtocol):
    """Uvicorn's own, with a way for the application to reset the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {RESET: {"reset": self._reset}}

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.transport.abort()
