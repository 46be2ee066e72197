"""The runtime API for campaigns and recommenders of the control plane."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from service.local_personalize.faults import Fault, FaultMode, is_taken_away
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.refusals import Refusal, internal_failure, invalid_input
from service.local_personalize.serving.admission import Admission
from service.local_personalize.serving.answers import Answers
from service.local_personalize.serving.calls import ACTION_RECOMMENDATIONS, PATHS, RANKINGS, RuntimeCall, parse_call
from service.local_personalize.serving.group import LiveGroups
from service.local_personalize.serving.targets import Target, Targets

if TYPE_CHECKING:
    # numpy, which only a process with a trained model needs.
    from service.local_personalize.serving.lists import TrainedLists


class TrainedRuntimeSurface:
    """`POST /recommendations`, `/personalize-ranking` and `/action-recommendations`.

    Args:
        targets: Campaigns and recommenders.
        groups: Their data.
        answers_all: Whether calls with an ARN that the control plane lacks are answered too, with a refusal.
        admission: Who is let in.
        fault: What happens to admitted calls instead of an answer.
        latency_seconds: How long each admitted call takes before it is answered.
    """

    def __init__(
        self,
        *,
        targets: Targets,
        groups: LiveGroups,
        answers_all: bool,
        admission: Admission,
        fault: Fault,
        latency_seconds: float,
    ) -> None:
        self._targets = targets
        self._groups = groups
        self._answers_all = answers_all
        self._admission = admission
        self._fault = fault
        self._latency_seconds = latency_seconds
        self._answers = Answers(targets)
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
            self._admission.check_caller(request)
            call = parse_call(PATHS[request.path], request.body)
            if call.operation == ACTION_RECOMMENDATIONS:
                raise invalid_input("The local Personalize does not train aws-next-best-action")
            target = self._targets.target(*call.target)
            call.check_for(target.recipe)
        except Refusal:
            self._admission.count_refused()
            raise
        self._admission.admit(call, target, signed_at=request.header(b"x-amz-date"))
        return await self._carry_out(call, target, request)

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
