"""The local Personalize as an HTTP server.

Besides the two operations of the runtime there is a bench side, without signatures and therefore for
loopback only: never let the port be reached from elsewhere.

- `GET /_health` answers once the model is learned.
- `GET /_stats` gives the counts, `POST /_stats/reset` sets them to zero.
- `POST /_faults` with `{"mode": "hang", "seconds": 5}` makes it misbehave; see `faults.FaultMode`.
- `POST /_access_keys` with `{"KEY": "ExpiredTokenException"}` refuses calls signed with a key; `*` stands for all.

A call counts as a transaction when it is signed, valid and within the TPS, whatever a fault then does to
its answer. A refused call takes nothing from the TPS.
"""

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import click
import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.data import read_dataset
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.faults import Fault, FaultMode, parse_fault
from service.local_personalize.filters import DeclaredFilters
from service.local_personalize.learn import CoVisitationModel, ScoredItem, learn
from service.local_personalize.protocol import (
    CAMPAIGN_ARN,
    RECOMMENDER_ARN,
    KnownArns,
    RankingCall,
    RecommendationsCall,
    Refusal,
    check_signed,
    invalid_input,
    parse_ranking,
    parse_recommendations,
    throttled,
)
from service.local_personalize.stats import CallStats
from service.local_personalize.throttle import TokenBucket

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_MAX_BODY_BYTES = 1_048_576
"""Above the largest valid call: 500 ids of 256 characters in a ranking."""

_HANG_SECONDS = 65.0
"""Longer than the SDK's default read timeout of 60 s."""

_RESET = "local_personalize.reset"
"""The ASGI extension through which a handler can reset its connection."""

_RST_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST instead of FIN."""


class _Answer(NamedTuple):
    status: int
    body: bytes
    error_code: str | None = None


class _Outcome(NamedTuple):
    """What a valid call asked for and would be told."""

    user_id: str | None
    list_name: str
    items: Callable[[], list[ScoredItem]]


class RuntimeApi:
    """The ASGI application; build it with `create_app`."""

    def __init__(
        self,
        model: CoVisitationModel,
        *,
        known: KnownArns,
        filters: DeclaredFilters,
        bucket: TokenBucket,
        fault: Fault,
        latency_seconds: float,
        wall_clock: Callable[[], float],
    ) -> None:
        self._model = model
        self._known = known
        self._filters = filters
        self._bucket = bucket
        self._fault = fault
        self._latency_seconds = latency_seconds
        self._wall_clock = wall_clock
        self._stats = CallStats()
        self._access_keys = AccessKeys()
        self._operations = {
            "/recommendations": self._read_recommendations,
            "/personalize-ranking": self._read_ranking,
        }
        self._bench: dict[tuple[str, str], Callable[[bytes], dict[str, Any]]] = {
            ("GET", "/_health"): lambda _: {"status": "ok"},
            ("GET", "/_stats"): lambda _: self._stats.snapshot(),
            ("POST", "/_stats/reset"): self._reset_stats,
            ("POST", "/_faults"): self._set_fault,
            ("POST", "/_access_keys"): lambda body: dict(self._access_keys.replace(body)),
        }

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one HTTP request; every error the SDK can be told is answered in its shape."""
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not served")
        try:
            answer = await self._answer(scope, receive)
        except Refusal as refusal:
            body = orjson.dumps({"message": refusal.message})
            answer = _Answer(refusal.status, body, refusal.code)
        if answer is not None:
            await _send(answer, send)

    async def _answer(self, scope: "Scope", receive: "Receive") -> _Answer | None:
        """What to send, or None where the caller is not to be answered."""
        method, path = scope["method"], scope["path"]
        body = await _read_body(receive)
        if bench := self._bench.get((method, path)):
            return _Answer(200, orjson.dumps(bench(body)))
        read = self._operations.get(path) if method == "POST" else None
        if read is None:
            raise Refusal(status=404, code="UnknownOperationException", message=f"No {method} {path}")
        try:
            authorization = _header(scope, b"authorization")
            check_signed(authorization)
            self._access_keys.check(authorization)
            outcome = read(body)
        except Refusal:
            self._stats.count_refused()
            raise
        self._admit(outcome)
        return await self._carry_out(outcome, scope, receive)

    def _read_recommendations(self, body: bytes) -> _Outcome:
        call = parse_recommendations(body, self._known)
        passes = self._test(call)
        # What a filter drops is refilled from further down the list.
        count = call.num_results if passes is None else self._model.item_count

        def items() -> list[ScoredItem]:
            if call.item_id is not None:
                found = self._model.similar(call.item_id, count=count)
            else:
                found = self._model.recommend(call.user_id or "", count=count)
            return found if passes is None else [one for one in found if passes(one.item_id)][: call.num_results]

        return _Outcome(call.user_id, "itemList", items)

    def _read_ranking(self, body: bytes) -> _Outcome:
        call = parse_ranking(body, self._known)
        passes = self._test(call)

        def items() -> list[ScoredItem]:
            ranked = self._model.rank(call.user_id, call.item_ids)
            return ranked if passes is None else [one for one in ranked if passes(one.item_id)]

        return _Outcome(call.user_id, "personalizedRanking", items)

    def _test(self, call: RecommendationsCall | RankingCall) -> Callable[[str], bool] | None:
        if call.filter_arn is None:
            return None
        item_id = call.item_id if isinstance(call, RecommendationsCall) else None
        return self._filters.test(call.filter_arn, user_id=call.user_id, item_id=item_id, values=call.filter_values)

    def _admit(self, outcome: _Outcome) -> None:
        arrived_at = self._wall_clock()
        if self._fault.mode is FaultMode.THROTTLE or not self._bucket.try_take():
            self._stats.count_throttled(arrived_at=arrived_at)
            raise throttled()
        self._stats.count_transaction(outcome.user_id, arrived_at=arrived_at)

    async def _carry_out(self, outcome: _Outcome, scope: "Scope", receive: "Receive") -> _Answer | None:
        mode = self._fault.mode
        if mode in (FaultMode.HANG, FaultMode.RESET):
            if mode is FaultMode.HANG:
                await _wait_for_disconnect(receive, seconds=_HANG_SECONDS)
            await _reset_connection(scope, receive)
            return None
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        if mode is FaultMode.ERROR500:
            raise Refusal(status=500, code="InternalFailure", message="An internal error occurred")
        if mode is FaultMode.GARBAGE:
            return _Answer(200, b"<html>It works!</html>")
        items = [] if mode is FaultMode.EMPTY else outcome.items()
        return _list_answer(outcome.list_name, items)

    def _reset_stats(self, _: bytes) -> dict[str, Any]:
        self._stats.reset()
        return self._stats.snapshot()

    def _set_fault(self, body: bytes) -> dict[str, Any]:
        mode, seconds = parse_fault(body)
        self._fault.set(mode, seconds=seconds)
        return {"mode": mode, "seconds": seconds}


def create_app(
    model: CoVisitationModel,
    *,
    tps: float,
    latency_ms: float,
    campaign_arns: Iterable[str] = (),
    recommender_arns: Iterable[str] = (),
    filters: Iterable[str] = (),
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> RuntimeApi:
    """The ASGI application over a model.

    Args:
        model: Who answers.
        tps: Transactions per second admitted; 0 for no limit.
        latency_ms: How long each admitted call takes before it is answered.
        campaign_arns: Campaigns that exist besides `CAMPAIGN_ARN`.
        recommender_arns: Recommenders that exist besides `RECOMMENDER_ARN`.
        filters: `NAME=EXPRESSION` of each filter that exists.
        clock: What the TPS and the length of a fault are measured by.
        wall_clock: Epoch seconds of the arrivals in the counts.
    """
    declared = DeclaredFilters(filters, model.dataset)
    return RuntimeApi(
        model,
        filters=declared,
        known=KnownArns(
            campaigns=frozenset({CAMPAIGN_ARN, *campaign_arns}),
            recommenders=frozenset({RECOMMENDER_ARN, *recommender_arns}),
            filters=declared.arns,
        ),
        bucket=TokenBucket(tokens_per_second=tps, clock=clock),
        fault=Fault(clock=clock),
        latency_seconds=latency_ms / 1000,
        wall_clock=wall_clock,
    )


def serve(
    *,
    data: Path,
    host: str,
    port: int,
    tps: float,
    latency_ms: float,
    campaign_arns: Iterable[str] = (),
    recommender_arns: Iterable[str] = (),
    filters: Iterable[str] = (),
) -> None:
    """Learn from a directory and answer until interrupted; port 0 takes a free one.

    Prints one line when it listens, with the address and how to point the SDK to it.

    Raises:
        LocalPersonalizeError: The data cannot be used or the address cannot be had.
    """
    started = time.perf_counter()
    model = learn(read_dataset(data))
    app = create_app(
        model,
        tps=tps,
        latency_ms=latency_ms,
        campaign_arns=campaign_arns,
        recommender_arns=recommender_arns,
        filters=filters,
    )
    # The model lives as long as the process: out of the collector's sight it costs no pauses.
    gc.freeze()
    learned = f"{model.item_count:,} items, {model.user_count:,} users, {time.perf_counter() - started:.1f} s"
    with _listen(host, port) as listener, suppress(KeyboardInterrupt):
        _AnnouncingServer(_server_config(app), learned=learned).run(sockets=[listener])


def _server_config(app: RuntimeApi) -> uvicorn.Config:
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


def _listen(host: str, port: int) -> socket.socket:
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
        self.scope["extensions"] = {_RESET: {"reset": self._reset}}

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.transport.abort()


async def _reset_connection(scope: "Scope", receive: "Receive") -> None:
    scope["extensions"][_RESET]["reset"]()
    await _wait_for_disconnect(receive, seconds=_HANG_SECONDS)


async def _wait_for_disconnect(receive: "Receive", *, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _read_body(receive: "Receive") -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MAX_BODY_BYTES:
            raise invalid_input("The request body is larger than 1 MiB")
        more = message.get("more_body", False)
    return body


def _header(scope: "Scope", wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def _list_answer(list_name: str, items: list[ScoredItem]) -> _Answer:
    listed = [{"itemId": item_id} if score is None else {"itemId": item_id, "score": score} for item_id, score in items]
    return _Answer(200, orjson.dumps({list_name: listed, "recommendationId": f"RID-{uuid4()}"}))


async def _send(answer: _Answer, send: "Send") -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-amzn-requestid", str(uuid4()).encode()),
    ]
    if answer.error_code is not None:
        headers.append((b"x-amzn-errortype", answer.error_code.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
