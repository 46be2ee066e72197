"""The runtime API over HTTP.

A call counts as a transaction when it is signed, valid and within the TPS, whatever a fault then does to its answer.
A refused call takes nothing from the TPS.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import orjson

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.faults import Fault, FaultMode, is_taken_away
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.learn import ScoredItem
from service.local_personalize.refusals import Refusal, check_signed, internal_failure, throttled
from service.local_personalize.runtime.operations import ListCall, RuntimeOperations
from service.local_personalize.stats import CallStats
from service.local_personalize.throttle import TokenBucket


class RuntimeSurface:
    """`POST /recommendations` and `POST /personalize-ranking`.

    Args:
        operations: What they do.
        bucket: How many calls a second are admitted.
        access_keys: Which callers are refused.
        fault: What happens to admitted calls instead of an answer.
        stats: Counts them.
        latency_seconds: How long each admitted call takes before it is answered.
        wall_clock: Epoch seconds of the arrivals in the counts.
    """

    def __init__(
        self,
        operations: RuntimeOperations,
        *,
        bucket: TokenBucket,
        access_keys: AccessKeys,
        fault: Fault,
        stats: CallStats,
        latency_seconds: float,
        wall_clock: Callable[[], float],
    ) -> None:
        self._bucket = bucket
        self._access_keys = access_keys
        self._fault = fault
        self._stats = stats
        self._latency_seconds = latency_seconds
        self._wall_clock = wall_clock
        self._operations: dict[tuple[str, str], Callable[[bytes], ListCall]] = {
            ("POST", "/recommendations"): operations.get_recommendations,
            ("POST", "/personalize-ranking"): operations.get_personalized_ranking,
        }

    def handler(self, request: Request) -> Handler | None:
        """See `Surface.handler`."""
        return self._answer if (request.method, request.path) in self._operations else None

    async def _answer(self, request: Request) -> Answer | None:
        try:
            authorization = request.header(b"authorization")
            check_signed(authorization)
            self._access_keys.check(authorization)
            call = self._operations[request.method, request.path](request.body)
        except Refusal:
            self._stats.count_refused()
            raise
        self._admit(call, request)
        return await self._carry_out(call, request)

    def _admit(self, call: ListCall, request: Request) -> None:
        arrived_at = self._wall_clock()
        self._stats.count_signed(request.header(b"x-amz-date"))
        if self._fault.mode is FaultMode.THROTTLE or not self._bucket.try_take():
            self._stats.count_throttled(arrived_at=arrived_at)
            raise throttled()
        self._stats.count_transaction(call.user_id, arrived_at=arrived_at)

    async def _carry_out(self, call: ListCall, request: Request) -> Answer | None:
        mode = self._fault.mode
        if await is_taken_away(request, mode):
            return None
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        if mode is FaultMode.ERROR500:
            raise internal_failure()
        if mode is FaultMode.GARBAGE:
            return Answer(200, b"<html>It works!</html>")
        return _list_answer(call.list_name, [] if mode is FaultMode.EMPTY else call.items())


def _list_answer(list_name: str, items: list[ScoredItem]) -> Answer:
    listed = [{"itemId": item_id} if score is None else {"itemId": item_id, "score": score} for item_id, score in items]
    return Answer(200, orjson.dumps({list_name: listed, "recommendationId": f"RID-{uuid4()}"}))
