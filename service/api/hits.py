"""Answers from fresh lists in memory: what most calls of a send get. Nothing here waits.

A plain answer is a join of ready items. For any other the rules look at each item of the list.
"""

import re
from dataclasses import replace
from typing import Final, TypeAlias

from service.api.headers import lasting_headers, naming_list, passing_head, written
from service.api.lifecycle import Asked, Services, asked_by
from service.api.query import parse_query
from service.api.query_forms import ArmForm, QueryForm, QueryForms
from service.errors import InvalidQuery
from service.lists.envelope import created_at
from service.lists.keys import UserKey
from service.lists.numbers import made_at, visible_id
from service.models import RequestKind
from service.telemetry import Hit

# What a parser of URLs takes as a query, whole.
_QUERY: Final = re.compile(rb"[!\"$-~]*")


HitAnswer: TypeAlias = tuple[bytes, bytes, int, Hit, float]
"""An answer to be sent: all headers but that of its request, as they are written; the body; the age of its list in
seconds; what telemetry counts; what it took in seconds. A tuple is made faster than any class."""


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
                answer = self._joined(form, arm, key, user_id, began)
                if answer is not None:
                    return answer
            query = replace(form.query, user_id=user_id)
            return self._of(Asked(query, form.placement, arm.arm, key, began))
        except InvalidQuery:
            return None

    def _joined(self, form: QueryForm, arm: ArmForm, key: UserKey, user_id: str, began: float) -> HitAnswer | None:
        now = self._clock.time()
        kept = arm.arm.lists.fresh_numbered(key, now)
        if kept is None or not self._services.knows_events_of(user_id):
            return None
        answers = arm.arm.assembly.joined
        joined = None if answers is None else answers.join(form.query, user_id, kept, form.given)
        if joined is None:
            return None
        body, _, _, dropped, _, _, with_choice = joined
        if with_choice is not None:
            arm.arm.lists.keep_choice(key, with_choice)
        counted = (*arm.counted[:3], dropped) if dropped else arm.counted
        age = max(0, int(now - made_at(kept)))
        seconds = self._clock.monotonic() - began
        head = arm.head % (len(body), naming_list(visible_id(kept)), seconds * 1000, age)
        return head, body, age, counted, seconds

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
        age = max(0, int(self._clock.time() - created_at(envelope)))
        seconds = self._clock.monotonic() - asked.began
        return (
            written(lasting_headers(answer)) + passing_head(seconds, age),
            answer.body,
            age,
            (answer.placement, answer.variant or "", answer.degraded_reason or "", answer.dropped),
            seconds,
        )
