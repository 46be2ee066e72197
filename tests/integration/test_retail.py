import asyncio
import csv
import time
from collections.abc import Sequence

import pytest

from tests.support.calls import Call, assert_all_answered, client, make_call
from tests.support.processes import RETAIL, Process, local_personalize, service

pytestmark = pytest.mark.skipif(not RETAIL.is_dir(), reason=f"needs the retail data set in {RETAIL}")


async def ask_for_all(replica: Process, users: Sequence[str]) -> list[Call]:
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


FORBIDDEN = 'EXCLUDE ItemID WHERE Items.CATEGORY IN ("beauty") | EXCLUDE ItemID WHERE Items.PRICE > 100'


def test_an_excluded_item_comes_from_no_source_and_lists_stay_full() -> None:
    with (RETAIL / "users.csv").open(encoding="utf-8", newline="") as file:
        users = [row["USER_ID"] for row in csv.DictReader(file)][:500]
    with (RETAIL / "items.csv").open(encoding="utf-8", newline="") as file:
        forbidden = {
            row["id"] for row in csv.DictReader(file) if row["category"] == "beauty" or float(row["price"]) > 100
        }
    with (
        local_personalize(RETAIL) as personalize,
        service(
            personalize,
            catalog=RETAIL / "items.csv",
            PERSONALIZE_TPS="500",
            CACHE_FRESH_SECONDS="3",
            EXCLUSION_FILTER=FORBIDDEN,
        ) as replica,
    ):
        live = asyncio.run(ask_for_all(replica, users))
        cached = asyncio.run(ask_for_all(replica, users[-20:]))
        transactions = personalize.get_json("/_stats")["by_user"]
        personalize.stop()
        time.sleep(3.1)  # until the last list is stale
        stale = asyncio.run(ask_for_all(replica, users))
        popular = asyncio.run(ask_for_all(replica, [f"stranger{number}" for number in range(50)]))

    assert_all_answered(live + cached + stale + popular)
    assert {call.source for call in live} == {"personalize"}
    assert {call.source for call in cached} == {"cache"}
    assert {call.source for call in stale} == {"stale"}
    assert {call.source for call in popular} == {"popular"}
    assert set(transactions.values()) == {1}
    assert not forbidden & {item_id for call in live + cached + stale + popular for item_id in call.ids}
    assert len(forbidden) > 100
