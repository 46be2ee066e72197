"""A whole shop: a few hundred of its users, and an exclusion that holds for every source."""

import asyncio
import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from service.local_personalize.app import create_app
from service.local_personalize.arns import CAMPAIGN_ARN, SIMILAR_ITEMS_ARN
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import CoVisitationModel, learn
from tests.support.front_door import Door, OpenDoor
from tests.support.local_personalize import serving
from tests.support.processes import RETAIL

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not RETAIL.is_dir(), reason="the retail data set is not beside the checkout"),
]

FORBIDDEN = 'EXCLUDE ItemID WHERE Items.CATEGORY IN ("beauty") | EXCLUDE ItemID WHERE Items.PRICE > 100'
USERS = 120
FRESH_SECONDS = 900


@pytest.fixture(scope="module")
def model() -> CoVisitationModel:
    return learn(read_dataset(RETAIL))


async def ask_for_all(door: Door, users: Iterable[str]) -> list[httpx.Response]:
    return await asyncio.gather(*(door.get("/recommendations", user_id=user) for user in users))


def sources(answers: Iterable[httpx.Response]) -> set[str]:
    return {answer.headers["X-Recommendation-Source"] for answer in answers}


async def test_each_user_costs_one_transaction_and_an_excluded_item_comes_from_no_source(
    open_door: OpenDoor, model: CoVisitationModel
) -> None:
    with (RETAIL / "users.csv").open(encoding="utf-8", newline="") as file:
        users = [row["USER_ID"] for row in csv.DictReader(file)][:USERS]
    with (RETAIL / "items.csv").open(encoding="utf-8", newline="") as file:
        forbidden = {
            row["id"] for row in csv.DictReader(file) if row["category"] == "beauty" or float(row["price"]) > 100
        }
    settings = {
        "CATALOG_URL": f"file://{RETAIL}/items.csv",
        "EXCLUSION_FILTER": FORBIDDEN,
        "PERSONALIZE_TPS": "1000",
        "REQUEST_DEADLINE_SECONDS": "30",
        "CACHE_FRESH_SECONDS": str(FRESH_SECONDS),
    }
    with serving(create_app(model, tps=0, latency_ms=0)) as local:
        async with open_door(local_personalize=local.url, **settings) as door:
            live = await ask_for_all(door, users)
            cached = await ask_for_all(door, users)
            stats = await asyncio.to_thread(local.stats)
            await asyncio.to_thread(local.fail, "error500")
            door.clock.moved_seconds += FRESH_SECONDS + 1
            stale = await ask_for_all(door, users)
            popular = await ask_for_all(door, [f"stranger{number}" for number in range(50)])

    assert len(set(users)) == USERS
    assert stats["by_user"] == dict.fromkeys(users, 1)
    assert [sources(answers) for answers in (live, cached, stale, popular)] == [
        {"personalize"},
        {"cache"},
        {"stale"},
        {"popular"},
    ]
    everything = [*live, *cached, *stale, *popular]
    assert {(answer.status_code, len(answer.json())) for answer in everything} == {(200, 10)}
    assert not forbidden & {item["id"] for answer in everything for item in answer.json()}
    assert len(forbidden) > 100


async def test_no_answer_of_a_thousand_has_more_than_two_of_a_category_and_all_are_full(
    open_door: OpenDoor, model: CoVisitationModel, tmp_path: Path
) -> None:
    """From live, fresh, stale and popular lists, of users and of items."""
    file = tmp_path / "placements.toml"
    rules = "tps = 1000\nmax_per = { category = 2 }\n"
    file.write_text(
        f'[placements.for-you]\ncampaign_arn = "{CAMPAIGN_ARN}"\n{rules}'
        f'[placements.similar]\nkind = "similar-items"\ncampaign_arn = "{SIMILAR_ITEMS_ARN}"\n'
        f'category_column = "category"\n{rules}'
    )
    with (RETAIL / "items.csv").open(encoding="utf-8", newline="") as rows:
        items = [row["id"] for row in csv.DictReader(rows)][:125]
    settings = {
        "CATALOG_URL": f"file://{RETAIL}/items.csv",
        "PLACEMENTS_FILE": str(file),
        "PERSONALIZE_CAMPAIGN_ARN": "",
        "REQUEST_DEADLINE_SECONDS": "30",
        "CACHE_FRESH_SECONDS": str(FRESH_SECONDS),
    }
    answers: list[httpx.Response] = []

    async def ask(door: Door, *wanted: int, strangers: str = "") -> None:
        for number in wanted:
            queries = [("/recommendations", {"user_id": f"{strangers}{n}"}) for n in range(1, 126)]
            queries += [("/similar-items", {"item_id": f"{strangers}{one}"}) for one in items]
            asked = (door.get(path, num_results=number, fields="category", **query) for path, query in queries)
            answers.extend(await asyncio.gather(*asked))
            assert {len(answer.json()) for answer in answers[-250:]} == {number}

    with serving(create_app(model, tps=0, latency_ms=0)) as local:
        async with open_door(local_personalize=local.url, **settings) as door:
            await ask(door, 10, 24)
            await asyncio.to_thread(local.fail, "error500")
            door.clock.moved_seconds += FRESH_SECONDS + 1
            await ask(door, 10)
            await ask(door, 10, strangers="stranger")

    assert len(answers) == 1_000
    assert sources(answers) == {"personalize", "cache", "stale", "popular"}
    for answer in answers:
        assert max(Counter(item["category"] for item in answer.json()).values()) <= 2
