"""Answers from fresh lists in memory: what most calls of a send get. Nothing here waits.

A plain answer is a join of ready items. For any other the rules look at each item of the list.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from service.api.headers import lasting_headers, naming_list, written
from service.api.lifecycle import Asked, Services, asked_by
from service.api.query import parse_query
from service.api.query_forms import ArmForm, QueryForm, QueryForms
from service.errors import InvalidQuery
from service.lists.envelope import created_at
from service.lists.keys import UserKey
from service.lists.numbers import made_at, recommendation_id
from service.models import RequestKind
from service.telemetry import Hit

# What a parser of URLs takes as a query, whole.
_QUERY: Final = re.compile(rb"[!\"$-~]*")


@dataclass(slots=True)
class HitAnswer:
    """An answer to be sent."""

    head: bytes
    """The headers that do not depend on the moment, as they are written."""
    body: bytes
    age_seconds: int
    """Of its list."""
    counted: Hit
    seconds: float = 0.0
    """What it took."""


class Hits:
    """Finds them.

    Args:
        services: What answers.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clock = services.clock
        self._forms = QueryForms(services.placements)

    def find(
        self, kind: RequestKind, query_string: bytes, began: float, *, is_parsed: bool = True
    ) -> HitAnswer | Asked | None:
        """The answer to an admitted query; else what was found out, or None where it is refused.

        Args:
            kind: What is asked for.
            query_string: As it came.
            began: Monotonic time of its arrival.
            is_parsed: Whether a parser of URLs has said that this is the query, and all of it.
        """
        try:
            found = self._forms.find(kind, query_string)
            if found is None:
                if not is_parsed and not _QUERY.fullmatch(query_string):
                    return None
                return self._of(asked_by(self._services, parse_query(query_string, kind), began))
            form, user_id = found
            arm = form.arms[form.placement.place_of_arm(user_id)]
            key = arm.key_of(user_id)
            if arm.is_plain and key is not None:
                answer = self._joined(form, arm, key, user_id)
                if answer is not None:
                    answer.seconds = self._clock.monotonic() - began
                    return answer
            query = replace(form.query, user_id=user_id)
            return self._of(Asked(query, form.placement, arm.arm, key, began))
        except InvalidQuery:
            return None

    def _joined(self, form: QueryForm, arm: ArmForm, key: UserKey, user_id: str) -> HitAnswer | None:
        kept = arm.arm.lists.fresh_numbered(key)
        if kept is None or not self._services.knows_events_of(user_id):
            return None
        joined = arm.arm.assembly.join(form.query, user_id, kept, form.given)
        if joined is None:
            return None
        body, _, _, dropped, _ = joined
        counted = (*arm.counted[:3], dropped) if dropped else arm.counted
        head = arm.head % len(body) + naming_list(recommendation_id(kept))
        return HitAnswer(head, body, self._age(made_at(kept)), counted)

    def _of(self, asked: Asked) -> HitAnswer | Asked:
        query = asked.query
        envelope = None if asked.key is None else asked.arm.lists.fresh(asked.key)
        if envelope is None or query.send or query.rotate:
            # What was shown in sends may have to be looked up, or kept.
            return asked
        if not self._services.knows_events_of(query.user_id):
            # What the user did is not known here yet: it is loaded on the ordinary way.
            return asked
        answer = asked.placement.from_list(query, asked.arm, envelope)
        if answer is None:
            return asked
        if answer.source != "cache":
            return replace(asked, answer=answer)
        return HitAnswer(
            written(lasting_headers(answer)),
            answer.body,
            self._age(created_at(envelope)),
            (answer.placement, answer.variant or "", answer.degraded_reason or "", answer.dropped),
            self._clock.monotonic() - asked.began,
        )

    def _age(self, made: float) -> int:
        return max(0, int(self._clock.time() - made))
