"""`attribution=url`: what was shown where, from the item's URL to Personalize."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.attribution import attributed, attribution_of
from service.errors import RecommenderError
from service.local_personalize.app import create_app
from service.local_personalize.arns import TRACKING_ID
from service.local_personalize.data import Dataset
from service.local_personalize.learn import learn
from tests.support.front_door import Door, OpenDoor
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.waiting import until

KEY = {"X-API-Key": "events-key-of-24-characters"}
ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/for-you"

words = st.text("abc/=&%.-+é ", max_size=12)


@given(path=words, query=st.none() | words, fragment=st.none() | words, value=st.text(min_size=1, max_size=40))
def test_a_url_keeps_its_query_and_its_fragment(path: str, query: str | None, fragment: str | None, value: str) -> None:
    address = f"https://shop.example.com/{path}" + ("" if query is None else f"?{query}")
    url = address + ("" if fragment is None else f"#{fragment}")
    found = attributed(url, {"rid": value, "pos": "3", "src": ""})
    assert found.startswith(address)
    assert found.partition("#")[2] == url.partition("#")[2]
    assert urlsplit(found).query.startswith(urlsplit(url).query)
    assert attribution_of(found) == {"rid": value, "pos": "3"}


def test_without_anything_to_add_a_url_stays_as_it_is() -> None:
    assert attributed("https://a.example/?x#y", {"rid": "", "pos": ""}) == "https://a.example/?x#y"


async def items_of(door: Door, **query: object) -> list[dict[str, Any]]:
    answer = await door.get("/recommendations", **{"user_id": "ann", "attribution": "url", **query})
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()
    return items


async def test_urls_name_the_list_and_the_place_from_every_lane(open_door: OpenDoor) -> None:
    async with open_door() as door:
        plain = (await door.get("/recommendations", user_id="ann", num_results=3)).json()
        for _ in range(2):
            shown = await items_of(door, num_results=3, fields="stock")
            urls = [urlsplit(item["url"]) for item in shown]
            assert [dict(parse_qsl(url.query)) for url in urls] == [
                {"rid": "RID-1", "pos": str(place)} for place in (1, 2, 3)
            ]
            assert [url._replace(query="").geturl() for url in urls] == [item["url"] for item in plain]
            assert [item["stock"] for item in shown] == [int(item["id"][-3:]) for item in shown]
        # The catalogue is as it was.
        assert (await door.get("/recommendations", user_id="ann", num_results=3)).json() == plain
        door.personalize.failure = RecommenderError()
        popular = await items_of(door, user_id="bob", num_results=1)
        assert urlsplit(popular[0]["url"]).query == "pos=1"
        wrong = await door.get("/recommendations", user_id="ann", attribution="mail")
        assert (wrong.status_code, wrong.json()["field"]) == (422, "attribution")


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPersonalize]:
    with serving(create_app(learn(Dataset(histories={}, items={}, users={})), tps=0, latency_ms=0)) as running:
        for name, value in (
            ("AWS_ENDPOINT_URL_PERSONALIZE_EVENTS", running.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ):
            monkeypatch.setenv(name, value)
        yield running


async def test_a_click_on_such_a_url_and_an_event_that_names_them_reach_personalize_with_both(
    open_door: OpenDoor, local: LocalPersonalize, tmp_path: Path
) -> None:
    path = tmp_path / "placements.toml"
    path.write_text(
        f'[placements.for-you]\ncampaign_arn = "{ARN}"\ntps = 500\nvariants = [{{ name = "v2", share = 1.0 }}]\n'
    )
    settings = {
        "PERSONALIZE_CAMPAIGN_ARN": "",
        "PERSONALIZE_TPS": "",
        "PLACEMENTS_FILE": str(path),
        "EVENT_KEYS": KEY["X-API-Key"],
        "PERSONALIZE_TRACKING_ID": TRACKING_ID,
        "EVENT_TYPES": "users.messages.email.Click=Click,ecommerce.order_placed=Purchase",
    }
    async with open_door(**settings) as door:
        url = (await items_of(door, num_results=1))[0]["url"]
        assert dict(parse_qsl(urlsplit(url).query)) == {"rid": "RID-1", "pos": "1", "src": "for-you:v2"}
        user = {"external_user_id": "ann"}
        click = {"event_type": "users.messages.email.Click", "id": "c1", "user": user, "properties": {"url": url}}
        order = {
            "event_type": "ecommerce.order_placed",
            "id": "o1",
            "user": user,
            "properties": {"product_id": "item001", "rid": "RID-1", "src": "for-you:v2"},
        }
        for body, to in (
            ({"events": [click, order]}, "/events/braze"),
            (
                {
                    "userId": "ann",
                    "eventList": [
                        {
                            "eventType": "View",
                            "eventId": "v1",
                            "recommendationId": "RID-1",
                            "metricAttribution": {"eventAttributionSource": "for-you:v2"},
                        }
                    ],
                },
                "/events",
            ),
        ):
            answer = await door.http.post(to, json=body, headers=KEY)
            assert (answer.status_code, answer.json()["rejected"]) == (202, [])

        async def all_arrived() -> bool:
            return len(local.http.get("/_events").json()) == 3

        await until(all_arrived)
        events: list[dict[str, Any]] = local.http.get("/_events").json()
        assert sorted(one["eventType"] for one in events) == ["Click", "Purchase", "View"]
        for one in events:
            assert one["recommendationId"] == "RID-1"
            assert one["metricAttribution"] == {"eventAttributionSource": "for-you:v2"}
