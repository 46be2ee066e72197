"""Why a user gets what they get: what is kept, what the next call would do, and what becomes of every item.

Nothing is decided here. `Arm.at_hand` says what is shown without a fetch, `Placement.fall_back` what stands in,
`Showing.of` which items are shown and why the others are not: the code that answers. Only the words are added, and
nothing is spent, kept or pinned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.answers.arm import Arm
from service.answers.placement import Placement, because_of
from service.answers.ports import NO_RECORD, SendRecord
from service.answers.showing import Shown
from service.clock import Clock
from service.errors import BreakerOpen, DegradedReason
from service.lists import envelope as envelopes
from service.lists.envelope import Envelope
from service.lists.keys import UserKey
from service.lists.ports import Outcome
from service.models import RecommendationQuery

Does = Literal["repeat", "show", "ask", "substitute"]
"""What the next call does: repeats an answer, shows a list that is kept, asks Personalize, or shows something else."""

BEYOND: Final = "num_results"
"""The rule that leaves an item out because enough others are shown."""

MAX_EXPLAINED: Final = 500
"""Items of a list that are explained: as many as Personalize gives."""


@dataclass(frozen=True, slots=True)
class _NextCall:
    does: Does
    outcome: Outcome
    """What is shown; where Personalize is asked, what is shown if no list can be had in time."""
    answered_by: str = ""


async def explain(placement: Placement, query: RecommendationQuery, *, clock: Clock, seconds: float) -> dict[str, Any]:
    """Everything there is to say about the next answer to a query, as JSON.

    Args:
        placement: Who answers.
        query: What is asked for.
        clock: Tells ages.
        seconds: How long stores may take.

    Raises:
        InvalidQuery: As for an answer.
    """
    arm = placement.arm_of(query)
    arm.assembly.check(query)
    deadline = clock.monotonic() + seconds
    if query.user_id:
        await arm.assembly.own_events.load(query.user_id, seconds)
    query = placement.with_item(query)
    record = NO_RECORD
    if placement.sends is not None and query.user_id and (query.send or query.rotate):
        record = await placement.sends.look(placement.name, query, deadline - clock.monotonic())
    key = arm.key_of(query)
    kept = [] if key is None else await arm.lists.everything(key, deadline)
    pin = record.pinned
    if pin is not None and pin.asked >= query.num_results:
        query, next_call = because_of(query, pin), _NextCall("repeat", pin.outcome, pin.placement)
    else:
        next_call = await _next_call(placement, arm, query, key, deadline)
    outcome = next_call.outcome
    await arm.assembly.fetch(query, outcome.envelope, deadline - clock.monotonic())
    shown = arm.assembly.showing.of(query, outcome, record)
    source, reason = arm.assembly.showing.label(query, outcome, shown)
    now = clock.time()
    return {
        "placement": next_call.answered_by or placement.name,
        "variant": arm.assembly.variant,
        "lists": [_list(arm, key, where, envelope, now) for where, envelope in kept],
        "next_call": {
            "does": next_call.does,
            "transactions": 1 if next_call.does == "ask" else 0,
            "source": source,
            "reason": reason,
            "recommendation_id": _recommendation_id(outcome.envelope, source),
        },
        "items": list(_items(arm, query, outcome, record, shown)),
        "because_of_item": query.item_id if query.because_of_item else None,
        "events": _events(arm, query.user_id),
    }


async def _next_call(
    placement: Placement, arm: Arm, query: RecommendationQuery, key: UserKey | None, deadline: float
) -> _NextCall:
    does: Does = "ask"
    outcome = arm.at_hand(query, key)
    if outcome is not None:
        does = "show" if outcome.source == "cache" else "substitute" if key is None else "repeat"
    elif key is not None:
        reason: DegradedReason = "budget"
        try:
            if arm.campaign is not None:
                arm.campaign.breaker.check()
        except BreakerOpen:
            does, reason = "substitute", "breaker"
        outcome = await arm.lists.look(key, reason, deadline)
        if outcome.source == "cache":
            does, outcome = "show", Outcome(outcome.envelope, "cache")
    outcome, answered_by = await placement.fall_back(
        query, outcome or arm.lists.without_batch(None, "error"), deadline, answers=False
    )
    return _NextCall(does, outcome, answered_by)


def _list(arm: Arm, key: UserKey | None, where: str, envelope: Envelope, now: float) -> dict[str, Any]:
    made_at = envelopes.created_at(envelope)
    return {
        "kept_in": where,
        "source": "batch" if where == "batch" else "personalize",
        "age_seconds": max(0, int(now - made_at)),
        "fresh": where != "batch" and key is not None and arm.lists.is_fresh(key, envelope),
        "recommendation_id": envelopes.recommendation_id(envelope) or None,
        "variant": arm.assembly.variant,
        "items": sum(1 for _ in envelopes.item_ids(envelope)),
    }


def _recommendation_id(envelope: Envelope | None, source: str) -> str | None:
    if envelope is None or source in ("popular", "unranked", "empty"):
        return None
    return envelopes.recommendation_id(envelope) or None


def _items(
    arm: Arm, query: RecommendationQuery, outcome: Outcome, record: SendRecord, shown: Shown
) -> Iterable[dict[str, Any]]:
    """The list's items in its order, then those that are shown besides."""
    listed: Sequence[str] = ()
    if outcome.envelope is not None:
        listed = tuple(envelopes.item_ids(outcome.envelope))[:MAX_EXPLAINED]
    places = {item_id: place for place, item_id in enumerate(shown.selection.shown, 1)}
    besides = [one for one in (*shown.selection.shown, *shown.selection.reasons) if one not in listed]
    ids = tuple(dict.fromkeys((*listed, *besides)))
    movers = _movers(arm, query, record, shown, ids)
    for item_id in ids:
        place = places.get(item_id)
        dropped_by = None if place is not None else shown.selection.reasons.get(item_id, BEYOND)
        is_listed = item_id in listed
        yield {
            "id": item_id,
            "rank": listed.index(item_id) + 1 if is_listed else None,
            "place": place,
            "dropped_by": dropped_by,
            "moved_by": movers.get(item_id),
            "from": "list" if is_listed else "pin" if item_id in shown.pinned else "popular",
        }


def _movers(
    arm: Arm, query: RecommendationQuery, record: SendRecord, shown: Shown, ids: Sequence[str]
) -> dict[str, str]:
    """The rule that moved each item that one did."""
    if shown.pinned_by_send:
        return {}
    showing = arm.assembly.showing
    done = showing.rules.interactions(query) if showing.arrangement.uses_interactions else ()
    groups = showing.arrangement.groups(ids, shown.catalog, done)
    found: dict[str, str] = {}
    for item_id in ids:
        group = groups.get(item_id, 1)
        if item_id in shown.pinned:
            found[item_id] = "pin"
        elif record.shown_before is not None and item_id in record.shown_before:
            found[item_id] = "rotate"
        elif group != 1:
            found[item_id] = "bury" if group else "boost"
    return found


def _events(arm: Arm, user_id: str) -> list[dict[str, Any]] | None:
    """What is known of the user, the latest first; None while it is not here."""
    by_type = arm.assembly.own_events.by_type(user_id) if user_id else {}
    if by_type is None:
        return None
    bought = arm.assembly.own_events.items(user_id)
    return [
        {"event_type": kind, "item_id": item_id or None, "at": at, "excludes": item_id in bought}
        for at, kind, item_id in sorted(
            ((at, kind, item_id) for kind, items in by_type.items() for item_id, at in items.items()), reverse=True
        )
    ]
