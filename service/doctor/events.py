"""Whether the event tracker takes events."""

from typing import Final

from service.aws.session import AwsSession
from service.clock import Clock
from service.doctor.findings import Finding, error, ok
from service.errors import RecommenderError
from service.events.adapters.personalize import PersonalizeEvents
from service.events.event import MAX_RECOMMENDATION_ID_CHARACTERS, Event
from service.personalize.sdk.advice import advice_for, code_of

CHECK: Final = "event tracker"
NAME: Final = "personalize-connect-doctor"

_RIGHT: Final = "allow the role personalize:PutEvents on the event tracker"
_TRACKER: Final = "correct PERSONALIZE_TRACKING_ID, or the region: a tracker is of one"


async def check_tracker(tracking_id: str, aws: AwsSession, clock: Clock) -> Finding:
    """What becomes of a call of PutEvents.

    Its event has a recommendation id that is too long, so Personalize refuses it and learns nothing from it.
    A role that may not send, and a tracker that does not exist, are refused in other words.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html
    """
    taker = PersonalizeEvents(aws, tracking_id)
    event = Event(
        event_type=NAME,
        user_id=NAME,
        session_id=NAME,
        sent_at=float(int(clock.time())),
        event_id=NAME,
        recommendation_id="x" * (MAX_RECOMMENDATION_ID_CHARACTERS + 1),
    )
    try:
        await taker.put(NAME, NAME, [event])
    except RecommenderError as refusal:
        # Behind the sender's error stands the one that AWS's code is known of.
        known = refusal.__cause__ if isinstance(refusal.__cause__, RecommenderError) else refusal
        return _finding(known)
    finally:
        await taker.close()
    return ok(CHECK, "takes events")


def _finding(refusal: RecommenderError) -> Finding:
    problem, code = " ".join(str(refusal).split()), code_of(refusal)
    is_of_the_event = code in ("InvalidInputException", "ValidationException")
    if is_of_the_event and "track" not in problem.lower():
        return ok(CHECK, "may be sent to; it refuses a wrong event, as it should")
    if is_of_the_event or code == "ResourceNotFoundException":
        return error(CHECK, f"is refused: {problem}", _TRACKER)
    if code.startswith(("AccessDenied", "NotAuthorized")):
        return error(CHECK, f"is refused: {problem}", _RIGHT)
    return error(CHECK, f"does not answer: {problem}", advice_for(refusal))
