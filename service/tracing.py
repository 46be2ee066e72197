"""OpenTelemetry's spans, for those who install the extra `otel` and name an endpoint.

Only then is this module imported: otherwise nothing of it is on any path. The SDK reads its own variables, such as
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` and `OTEL_TRACES_SAMPLER`. No span holds a user id.
"""

import os
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.constants import QUIET_PATHS, RECOMMENDATIONS_PATH

Message: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

FLUSH_SECONDS: Final = 2.0
"""At shutdown, for the spans that have not been sent."""

_CARRIED = (b"traceparent", b"tracestate")
_NOTED = {
    b"x-recommendation-source": "recommendations.source",
    b"x-degraded-reason": "recommendations.degraded_reason",
}


class Tracing:
    """Makes spans and sends them.

    Args:
        exporter: Where the spans go; by default over HTTP to the endpoint that the environment names.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or "personalize-connect"
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("personalize-connect")
        self._propagator = TraceContextTextMapPropagator()

    def around(self, app: App) -> App:
        """The application, with a span for each request; it continues the caller's trace.

        A span is named after its route, since a path may hold a user id; of an unknown path only the method is named.
        """

        async def traced(
            scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
        ) -> None:
            if scope["type"] != "http" or scope["path"] in QUIET_PATHS:
                await app(scope, receive, send)
                return
            carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}
            with self._tracer.start_as_current_span(
                scope["method"],
                self._propagator.extract(carrier),
                kind=SpanKind.SERVER,
                record_exception=False,
            ) as span:
                span.set_attribute("http.request.method", scope["method"])
                await app(scope, receive, _noting(span, send))
                # A fresh list is answered before there is a route.
                route = (
                    RECOMMENDATIONS_PATH
                    if scope["path"] == RECOMMENDATIONS_PATH
                    else getattr(scope.get("route"), "path", None)
                )
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)

        return traced

    def flush(self) -> None:
        """Send what has not been sent."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what has not been sent, unless nobody takes it within `FLUSH_SECONDS`."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """A span for as long as the block lasts; `service.spans` makes all of the service's by it."""
        # An error's message may name a user, so a span names only its class.
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise


def _noting(span: Span, send: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
    async def note(message: Message) -> None:
        if message["type"] == "http.response.start":
            span.set_attribute("http.response.status_code", message["status"])
            for name, value in message["headers"]:
                if name in _NOTED:
                    span.set_attribute(_NOTED[name], value.decode())
        await send(message)

    return note
