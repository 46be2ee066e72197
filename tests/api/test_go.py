"""`attribution=go` and `GET /go/{token}`: a click is recorded, and the reader is led to the item's page."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from service.attribution import Click
from service.errors import ConfigurationError, SharedStateUnavailable
from service.events.adapters.links import SignedLinks
from tests.support.front_door import Door, OpenDoor

ADMIN = {"X-API-Key": "admin-key-of-24-characters-"}
GO_KEY = "go-key-of-24-characters--"
SETTINGS = {
    "EVENT_KEYS": "events-key-of-24-characters",
    "ADMIN_KEYS": ADMIN["X-API-Key"],
    "GO_KEYS": GO_KEY,
    "GO_URL": "https://recs.example.com/",
}


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door(**SETTINGS) as opened:
        yield opened


async def links_of(door: Door, **query: object) -> list[dict[str, Any]]:
    answer = await door.get("/recommendations", **{"user_id": "ann", "attribution": "go", **query})
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()
    return items


async def clicks(door: Door, user: str = "ann") -> list[tuple[str, str]]:
    explained = await door.http.get(f"/users/{user}/explain", headers=ADMIN)
    return [(one["event_type"], one["item_id"]) for one in explained.json()["events"]]


async def test_a_click_is_recorded_and_leads_to_the_page_that_the_catalogue_names(door: Door) -> None:
    for _ in range(2):
        item = (await links_of(door, num_results=3))[1]
        assert re.fullmatch(r"https://recs\.example\.com/go/[A-Za-z0-9_.-]+", item["url"])
    path = urlsplit(item["url"]).path
    assert (await door.http.head(path)).status_code == 302
    assert await clicks(door) == []
    for _ in range(2):
        led = await door.http.get(path)
        assert (led.status_code, led.headers["Cache-Control"]) == (302, "no-store")
        target = urlsplit(led.headers["Location"])
        assert target._replace(query="").geturl() == f"https://shop.example.com/{item['id']}"
        assert dict(parse_qsl(target.query)) == {"rid": "RID-1", "pos": "2"}
    assert await clicks(door) == [("Click", item["id"])]


async def test_only_links_of_ours_lead_anywhere_and_only_to_the_catalogue(door: Door) -> None:
    token = urlsplit((await links_of(door))[0]["url"]).path.removeprefix("/go/")
    other = SignedLinks(["another-key-of-24-characters"], "https://x.example").of(Click("item001", "ann"))
    gone = SignedLinks([GO_KEY], "https://x.example").of(Click("https://evil.example/", "ann"))
    for wrong in (token[:-2] + "AA", "x" + token, token.swapcase(), "a.b", "x" * 5_000, other[24:], gone[24:]):
        answer = await door.http.get(f"/go/{wrong}")
        assert answer.status_code == 404
        assert "Location" not in answer.headers
    assert await clicks(door) == []


async def test_links_made_with_an_older_key_still_lead_on(open_door: OpenDoor) -> None:
    old = SignedLinks([GO_KEY], "https://x.example").of(Click("item001", "ann", "RID-7", 4, "for-you:v2"))
    async with open_door(**{**SETTINGS, "GO_KEYS": f"new-key-of-24-characters-,{GO_KEY}"}) as door:
        led = await door.http.get(urlsplit(old).path)
        assert led.headers["Location"] == "https://shop.example.com/item001?rid=RID-7&pos=4&src=for-you%3Av2"
        assert (await links_of(door))[0]["url"] != (await links_of(door))[1]["url"]


async def test_a_click_that_cannot_be_kept_leads_on_all_the_same(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: object) -> None:
        raise SharedStateUnavailable("Redis does not answer")

    path = urlsplit((await links_of(door))[0]["url"]).path
    services = door.app.lifecycle.services
    assert services.clicks is not None
    monkeypatch.setattr(services.clicks.intake, "take", fails)
    assert (await door.http.get(path)).status_code == 302
    nobody = urlsplit((await links_of(door, user_id=""))[0]["url"]).path
    assert (await door.http.get(nobody)).status_code == 302


async def test_without_keys_there_are_no_such_links(open_door: OpenDoor) -> None:
    async with open_door() as door:
        answer = await door.get("/recommendations", user_id="ann", attribution="go")
        assert (answer.status_code, answer.json()["field"]) == (422, "attribution")
        assert (await door.http.get("/go/x")).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [{"GO_URL": ""}, {"GO_KEYS": ""}, {"GO_KEYS": "short"}, {"GO_URL": "recs.example.com"}, {"EVENT_KEYS": ""}],
)
async def test_settings_that_do_not_go_together_stop_the_start(open_door: OpenDoor, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="GO_"):
        async with open_door(**{**SETTINGS, **wrong}):
            pass
