import asyncio
import csv
from collections.abc import Sequence

import pytest

from bench.processes import RETAIL, Running, local_personalize, service
from bench.sends import Call, client, make_call
from tests.integration.pouring import assert_all_answered

pytestmark = pytest.mark.skipif(not RETAIL.is_dir(), reason=f"needs the retail data set in {RETAIL}")


async def ask_for_all(replica: Running, users: Sequence[str]) -> list[Call]:
    """One call for each, twenty at a time: as fast as the machine goes, and no faster."""
    turns = asyncio.Semaphore(20)
    async with client() as session:

        async def ask(user: str) -> Call:
            async with turns:
                return await make_call(session, replica.url, user)

        return await asyncio.gather(*(ask(user) for user in users))


def test_a_thousand_users_cost_a_thousand_transactions_and_the_same_again_none() -> None:
    with (RETAIL / "users.csv").open(encoding="utf-8", newline="") as file:
        users = [row["USER_ID"] for row in csv.DictReader(file)][:1000]
    assert len(set(users)) == 1000
    with (
        local_personalize(RETAIL) as personalize,
        service(personalize, catalog=RETAIL / "items.csv", PERSONALIZE_TPS="500") as replica,
    ):
        first = asyncio.run(ask_for_all(replica, users))
        stats = personalize.get_json("/_stats")
        again = asyncio.run(ask_for_all(replica, users))
        stats_again = personalize.get_json("/_stats")

    assert_all_answered(first + again)
    assert {call.source for call in first} == {"personalize"}
    assert {call.source for call in again} == {"cache"}
    assert [call.ids for call in first] == [call.ids for call in again]
    assert stats["transactions"] == stats_again["transactions"] == 1000
    assert set(stats["by_user"].values()) == {1}
