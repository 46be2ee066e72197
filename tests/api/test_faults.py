"""Personalize misbehaves, and the real SDK tells it; every message is filled, and soon personalised again."""

import asyncio
from collections.abc import Iterator

import pytest

from service.local_personalize.app import create_app
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from service.personalize.breaker import OPEN_SECONDS
from tests.support.front_door import OpenDoor
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.processes import SAMPLE
from tests.support.waiting import until

PATH = "/recommendations"
CALLS = 12


@pytest.fixture(scope="module")
def local() -> Iterator[LocalPersonalize]:
    with serving(create_app(learn(read_dataset(SAMPLE)), tps=0, latency_ms=0)) as running:
        yield running


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("hang", "timeout"),
        ("reset", "error"),
        ("error500", "error"),
        ("throttle", "throttled"),
        ("garbage", "error"),
        ("empty", "error"),
    ],
)
async def test_every_message_is_filled_while_personalize_fails_and_soon_personalised_again(
    open_door: OpenDoor, local: LocalPersonalize, mode: str, reason: str
) -> None:
    # Each call that hangs takes all of it; of the others none does, however busy the machine is.
    deadline = "1.5" if mode == "hang" else "10"
    settings = {"CATALOG_URL": f"file://{SAMPLE}/items.csv", "REQUEST_DEADLINE_SECONDS": deadline}
    async with open_door(local_personalize=local.url, **settings) as door:
        before = await door.get(PATH, user_id="before")
        await asyncio.to_thread(local.fail, mode)
        answers = await asyncio.gather(*(door.get(PATH, user_id=f"{mode}{number}") for number in range(CALLS)))
        await asyncio.to_thread(local.fail, "none")
        # The breaker lets one through again.
        door.clock.moved_seconds += OPEN_SECONDS
        again = 0

        async def is_personalised() -> bool:
            nonlocal again
            again += 1
            return (await door.get(PATH, user_id=f"again{again}")).headers["X-Recommendation-Source"] == "personalize"

        await until(is_personalised)

    assert before.headers["X-Recommendation-Source"] == "personalize"
    assert {(answer.status_code, len(answer.json())) for answer in answers} == {(200, 10)}
    assert {answer.headers["X-Recommendation-Source"] for answer in answers} == {"popular"}
    assert reason in {answer.headers["X-Degraded-Reason"] for answer in answers}
