"""What a template's calls get in a preview: the answers of this very process, at no caller's cost."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from service.answers.placement import Placement
from service.answers.ports import NO_RECORD
from service.api.lifecycle import Services
from service.api.query import parse_body, parse_query
from service.braze.adapters.http import Addresses
from service.braze.ports import CALL_SECONDS, UNREACHABLE, Answer, Call, Heard
from service.console.spare import SpareSlots
from service.constants import RANKING_PATH, RECOMMENDATIONS_PATH, SIMILAR_ITEMS_PATH
from service.errors import InvalidQuery
from service.lists.ports import Outcome
from service.models import Answer as ListAnswer
from service.models import RecommendationQuery, RequestKind

_HERE: Final = "https://here"
_KINDS: Final[dict[str, RequestKind]] = {
    RECOMMENDATIONS_PATH: "recommendations",
    SIMILAR_ITEMS_PATH: "similar-items",
    RANKING_PATH: "ranking",
}


class OwnAnswers:
    """A `Service` of previews: no call leaves the process, whatever host it names.

    A list that is kept is shown. Where none is, one is fetched in a spare slot, or popular items are shown.

    Args:
        services: Of this process.
        spare: Fetches lists.
    """

    def __init__(self, services: Services, spare: SpareSlots) -> None:
        self._services = services
        self._spare = spare
        self._addresses = Addresses(_HERE)

    async def call(self, call: Call) -> Heard:
        """What a template's call gets here; a call to elsewhere gets nothing, and the reason."""
        clock = self._services.clock
        began = clock.monotonic()
        asked = self._addresses.asked(call)
        if isinstance(asked, Answer):
            return Heard(asked, 0.0)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                if not await self._lets_in(call):
                    return Heard(Answer(401, problem="the call names no credential"), 0.0)
                answer = await self._answer(asked.url.removeprefix(_HERE), call)
        except InvalidQuery as error:
            return Heard(Answer(422, problem=str(error)), clock.monotonic() - began)
        except TimeoutError:
            return Heard(Answer(UNREACHABLE, problem=f"no answer within {CALL_SECONDS:g} s"), CALL_SECONDS)
        if isinstance(answer, Answer):
            return Heard(answer, clock.monotonic() - began)
        text = answer.body.decode()
        return Heard(Answer(200, text), clock.monotonic() - began, answer.source, answer.degraded_reason or "")

    async def _lets_in(self, call: Call) -> bool:
        # What Braze keeps under a name is not known here: it counts as right.
        return call.credential is not None or await self._services.gate.lets_in(_headers(call))

    async def _answer(self, target: str, call: Call) -> ListAnswer | Answer:
        parts = urlsplit(target)
        kind = _KINDS.get(parts.path)
        if kind is None:
            return Answer(404, problem="the service has no such path")
        if call.method == "POST" and kind != "ranking":
            return Answer(405, problem="the service takes GET only")
        query = (
            parse_body(call.body.encode(), kind) if call.method == "POST" else parse_query(parts.query.encode(), kind)
        )
        return await self._best(self._services.placements.of(query), query)

    async def _best(self, placement: Placement, query: RecommendationQuery) -> ListAnswer:
        """The answer that a caller would get, from what is kept or fetched in a spare slot."""
        services = self._services
        arm = placement.arm_of(query)
        arm.assembly.check(query)
        deadline = services.clock.monotonic() + services.limits.deadline_seconds

        def left() -> float:
            return deadline - services.clock.monotonic()

        if query.user_id:
            await arm.assembly.own_events.load(query.user_id, left())
        query = placement.with_item(query)
        key = arm.key_of(query)
        outcome = arm.at_hand(query, key)
        if outcome is None and key is not None:
            outcome = await arm.lists.look(key, "budget", deadline)
            if outcome.source == "popular" and await self._spare.fetch(placement, query) == "fetched":
                outcome = await arm.lists.look(key, "budget", deadline)
            if outcome.source == "cache":
                outcome = Outcome(outcome.envelope, "cache")
        outcome, answered_by = await placement.fall_back(
            query, outcome or arm.lists.without_batch(None, "error"), deadline, answers=False
        )
        await arm.assembly.fetch(query, outcome.envelope, left())
        # Of no send: a preview pins nothing.
        return arm.assembly.answer(replace(query, send="", rotate=0), outcome, (), answered_by, NO_RECORD)


def _headers(call: Call) -> Iterator[tuple[bytes, bytes]]:
    for name, value in call.headers.items():
        yield name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")
