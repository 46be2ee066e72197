"""The runtime API for campaigns and recommenders of the control plane."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.faults import Fault, FaultMode, is_taken_away
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.refusals import Refusal, check_signed, internal_failure, invalid_input, throttled
from service.local_personalize.serving.answers import Answers
from service.local_personalize.serving.calls import ACTION_RECOMMENDATIONS, PATHS, RANKINGS, RuntimeCall, parse_call
from service.local_personalize.serving.capacity import LAG_SECONDS, Capacity
from service.local_personalize.serving.group import LiveGroups
from service.local_personalize.serving.targets import Target, Targets
from service.local_personalize.stats import CallStats

if TYPE_CHECKING:
    # numpy, which only a process with a trained model needs.
    from service.local_personalize.serving.lists import TrainedLists


class TrainedRuntimeSurface:
    """`POST /recommendations`, `/personalize-ranking` and `/action-recommendations`.

    Args:
        targets: Campaigns and recommenders.
        groups: Their data.
        answers_all: Whether calls with an ARN that the control plane lacks are answered too, with a refusal.
        access_keys: Which callers are refused.
        fault: What happens to admitted calls instead of an answer.
        stats: Counts them.
        latency_seconds: How long each admitted call takes before it is answered.
        speed: Amazon's seconds in one of ours, for capacity that follows traffic.
        clock: Seconds that never run backwards.
        wall_clock: Epoch seconds of the arrivals in the counts.
    """

    def __init__(
        self,
        *,
        targets: Targets,
        groups: LiveGroups,
        answers_all: bool,
        access_keys: AccessKeys,
        fault: Fault,
        stats: CallStats,
        latency_seconds: float,
        speed: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._targets = targets
        self._groups = groups
        self._answers_all = answers_all
        self._access_keys = access_keys
        self._fault = fault
        self._stats = stats
        self._latency_seconds = latency_seconds
        self._new_capacity = partial(Capacity, clock=clock, lag_seconds=LAG_SECONDS / speed)
        self._wall_clock = wall_clock
        self._answers = Answers(targets)
        self._capacities: dict[str, Capacity] = {}
        self._lists: dict[Path, TrainedLists] = {}

    def handler(self, request: Request) -> Handler | None:
        """See `Surface.handler`."""
        if request.method != "POST" or request.path not in PATHS:
            return None
        return self._answer if self._answers_all or self._is_mine(request.body) else None

    def _is_mine(self, body: bytes) -> bool:
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(fields, dict):
            return False
        return any(self._targets.knows(fields.get(name)) for name in ("campaignArn", "recommenderArn"))

    async def _answer(self, request: Request) -> Answer | None:
        try:
            authorization = request.header(b"authorization")
            check_signed(authorization)
            self._access_keys.check(authorization)
            call = parse_call(PATHS[request.path], request.body)
            if call.operation == ACTION_RECOMMENDATIONS:
                raise invalid_input("The local Personalize does not train aws-next-best-action")
            target = self._targets.target(*call.target)
            call.check_for(target.recipe)
        except Refusal:
            self._stats.count_refused()
            raise
        self._admit(call, target)
        return await self._carry_out(call, target, request)

    def _admit(self, call: RuntimeCall, target: Target) -> None:
        arrived_at = self._wall_clock()
        capacity = self._capacities.setdefault(target.arn, self._new_capacity())
        if self._fault.mode is FaultMode.THROTTLE or not capacity.try_take(target.minimum_tps):
            self._stats.count_throttled(arrived_at=arrived_at)
            raise throttled()
        self._stats.count_transaction(call.user_id, arrived_at=arrived_at)

    async def _carry_out(self, call: RuntimeCall, target: Target, request: Request) -> Answer | None:
        mode = self._fault.mode
        if await is_taken_away(request, mode):
            return None
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        if mode is FaultMode.ERROR500:
            raise internal_failure()
        if mode is FaultMode.GARBAGE:
            return Answer(200, b"<html>It works!</html>")
        group = await self._groups.get(target.group_arn)
        lists = await self._loaded(target.model)
        answer = self._answers.answer(call, target, lists, group)
        if mode is FaultMode.EMPTY:
            answer["personalizedRanking" if call.operation == RANKINGS else "itemList"] = []
        return Answer(200, orjson.dumps(answer))

    async def _loaded(self, model: Path) -> "TrainedLists":
        from service.local_personalize.serving.lists import TrainedLists  # noqa: PLC0415  # numpy, as above

        if model not in self._lists:
            self._lists[model] = await asyncio.to_thread(TrainedLists.load, model)
        return self._lists[model]
