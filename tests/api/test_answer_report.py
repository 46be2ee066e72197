"""H10: the line from which an alarm counts degraded answers where there is no Prometheus."""

from structlog.testing import capture_logs

from service.errors import RecommenderRefused, RecommenderThrottled
from tests.support.front_door import OpenDoor

PATH = "/recommendations"


async def test_every_answer_is_in_a_line_and_those_that_personalize_had_no_part_in_apart(open_door: OpenDoor) -> None:
    with capture_logs() as logs:
        async with open_door(ACCESS_LOG_SAMPLE="0") as door:
            for user in ("ann", "ann", ""):
                await door.get(PATH, user_id=user)
            door.personalize.failure = RecommenderRefused("ResourceNotFoundException")
            await door.get(PATH, user_id="bob")
            door.personalize.failure = RecommenderThrottled("ThrottlingException")
            await door.get(PATH, user_id="cid")
            await door.get(PATH)

    [line] = [one for one in logs if one["event"] == "answers_counted"]
    assert {name: line[name] for name in ("answers", "degraded", "error", "throttled")} == {
        "answers": 5,
        "degraded": 2,
        "error": 1,
        "throttled": 1,
    }
    assert "no_user" not in line


async def test_a_replica_that_nobody_asks_says_nothing(open_door: OpenDoor) -> None:
    with capture_logs() as logs:
        async with open_door():
            pass

    assert [one for one in logs if one["event"] == "answers_counted"] == []
