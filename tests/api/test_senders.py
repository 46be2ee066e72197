"""I5: two systems with keys of their own ask at once."""

import asyncio
import base64

import pytest

from service.credentials import hash_key
from tests.support.front_door import OpenDoor
from tests.support.waiting import until

GREEDY = "the-key-of-somebody-who-asks-for-all"
MODEST = "another-key-of-twenty-four-letters"
PAIR = "braze:a-password-of-many-letters"
BASIC = {"Authorization": f"Basic {base64.b64encode(PAIR.encode()).decode()}"}


@pytest.mark.parametrize("modest", [{"X-API-Key": MODEST}, {"Authorization": f"Bearer {MODEST}"}, BASIC])
async def test_a_key_that_asks_for_every_slot_leaves_another_key_its_turns(
    open_door: OpenDoor, modest: dict[str, str]
) -> None:
    settings = {
        "API_KEYS": f"{GREEDY},{hash_key(MODEST)}",
        "BASIC_AUTH": PAIR,
        "ALLOW_ANONYMOUS": "false",
        "METRICS_ACCESS": "open",
        "PERSONALIZE_TPS": "5",
        "REQUEST_DEADLINE_SECONDS": "10",
    }
    async with open_door(**settings) as door:

        async def call(user: str, headers: dict[str, str]) -> str:
            answer = await door.http.get(f"/recommendations?user_id={user}", headers=headers)
            return str(answer.headers["X-Recommendation-Source"])

        # As many as there are slots within the deadline, and more.
        flood = [asyncio.ensure_future(call(f"of-the-flood-{n}", {"X-API-Key": GREEDY})) for n in range(80)]
        await until(lambda: sum(one.done() for one in flood) >= 30)
        assert await asyncio.gather(*(call(f"user{n}", modest) for n in range(2))) == ["personalize"] * 2
        assert sum(one.done() and one.result() == "personalize" for one in flood) <= 4
        for one in flood:
            one.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
