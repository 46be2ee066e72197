"""Spans, as a collector gets them over OTLP."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import aiohttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.processes import Process, service
from tests.support.redis import RedisServer
from tests.support.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
USER = "somebody-with-a-name"


class Collector:
    """Keeps what it is sent."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[bytes] = []

    def spans(self) -> list[Span]:
        found = []
        for body in self.bodies:
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            found += [
                one for resource in request.resource_spans for scope in resource.scope_spans for one in scope.spans
            ]
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, str | int]:
    return {
        one.key: one.value.string_value if one.value.HasField("string_value") else one.value.int_value
        for one in span.attributes
    }


async def test_a_live_answer_and_a_hit_are_spans_of_the_callers_trace(stack: ExitStack, personalize: Process) -> None:
    collector = stack.enter_context(collecting())
    redis = stack.enter_context(RedisServer())
    replica = stack.enter_context(
        service(
            personalize,
            PERSONALIZE_TPS="50",
            REDIS_URL=redis.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="50",
        )
    )
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for source in ("personalize", "cache"):
            async with session.get(f"{replica.url}/recommendations?user_id={USER}") as answer:
                assert answer.headers["X-Recommendation-Source"] == source
        async with session.get(f"{replica.url}/users/{USER}") as answer:
            assert answer.status == 405
        async with session.delete(f"{replica.url}/users/{USER}", headers={"X-API-Key": "wrong"}) as answer:
            assert answer.status == 401
        async with session.get(f"{replica.url}/readyz") as answer:
            assert answer.status == 200
    await until(lambda: any(span.name.startswith("DELETE") for span in collector.spans()))

    spans = collector.spans()
    requests = [span for span in spans if span.name == "GET /recommendations"]
    assert [attributes(span)["recommendations.source"] for span in requests] == ["personalize", "cache"]
    assert {span.parent_span_id.hex() for span in requests} == {CALLER}
    assert {attributes(span)["http.response.status_code"] for span in requests} == {200}
    others = {span.name: attributes(span)["http.response.status_code"] for span in spans if "/users" in span.name}
    assert others == {"GET /users/{user_id:id}": 405, "DELETE /users/{user_id:id}": 401}
    assert not any("readyz" in span.name for span in spans)
    live = [span.name for span in spans if span.parent_span_id == requests[0].span_id]
    assert {"redis board", "budget wait", "personalize transaction", "redis land", "render"} <= set(live)
    [wait] = [span for span in spans if span.name == "budget wait"]
    # More than one where Redis was slow on a busy machine.
    assert {span.parent_span_id for span in spans if span.name == "redis reserve"} == {wait.span_id}
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert not any(USER.encode() in body for body in collector.bodies)


async def test_a_collector_that_is_away_costs_no_answer_and_no_clean_end(
    stack: ExitStack, personalize: Process
) -> None:
    replica = stack.enter_context(
        service(personalize, PERSONALIZE_TPS="50", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    )
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{replica.url}/recommendations?user_id=user1") as answer,
    ):
        assert answer.status == 200
    replica.popen.terminate()
    await until(lambda: not replica.is_running)
    assert replica.stop() == 0
