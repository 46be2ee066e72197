"""The control plane over HTTP: JSON 1.1, `POST /` with the operation in X-Amz-Target."""

import re
from typing import Final

import orjson

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.control.control_plane import ControlPlane
from service.local_personalize.control.wire import TARGET_PREFIX
from service.local_personalize.faults import Fault, FaultMode, is_taken_away
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.json_object import json_object
from service.local_personalize.refusals import Refusal, check_signed, internal_failure, throttled

_REGION: Final = re.compile(r"Credential=[^/,\s]+/\d{8}/([^/,\s]+)/")


class ControlSurface:
    """Every call with a target of the control plane.

    Args:
        control: Answers them.
        access_keys: Which callers are refused.
        fault: What happens to signed calls instead of an answer.
    """

    def __init__(self, control: ControlPlane, *, access_keys: AccessKeys, fault: Fault) -> None:
        self._control = control
        self._access_keys = access_keys
        self._fault = fault

    def handler(self, request: Request) -> Handler | None:
        """See `Surface.handler`."""
        is_mine = request.method == "POST" and request.header(b"x-amz-target").startswith(TARGET_PREFIX)
        return self._answer if is_mine else None

    async def _answer(self, request: Request) -> Answer | None:
        try:
            return await self._carried_out(request)
        except Refusal as refusal:
            # Unlike the other two APIs, this one reads the error's code from the body.
            body = {"__type": refusal.code, "message": refusal.message}
            return Answer(refusal.status, orjson.dumps(body), refusal.code)

    async def _carried_out(self, request: Request) -> Answer | None:
        authorization = request.header(b"authorization")
        check_signed(authorization)
        self._access_keys.check(authorization)
        mode = self._fault.mode
        if mode is FaultMode.THROTTLE:
            raise throttled()
        if await is_taken_away(request, mode):
            return None
        if mode is FaultMode.ERROR500:
            raise internal_failure()
        if mode is FaultMode.GARBAGE:
            return Answer(200, b"<html>It works!</html>")
        found = _REGION.search(authorization)
        operation = request.header(b"x-amz-target").removeprefix(TARGET_PREFIX)
        answer = self._control.answer(
            operation, json_object(request.body or b"{}"), region=found[1] if found else "us-east-1"
        )
        return Answer(200, orjson.dumps(answer))
