"""`attribution=go` and `GET /go/{token}`: a click is recorded, and the reader is led to the item's page."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response
from structlog.testing import capture_logs

from service.api.entrance import HEAD_ONLY
from service.api.go import go
from service.api.lifecycle import ClickRoutes, Lifecycle
from service.attribution import Click
from service.errors import ConfigurationError, SharedStateUnavailable
from service.events.adapters.links import SignedLinks
from service.events.event import Event, EventProblem, session_of
from tests.support.clocks import StandingClock
from tests.support.front_door import Door, OpenDoor
from tests.support.virtual_time import EPOCH, run_virtual

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


class Scene:
    """The route over a catalogue with one item, and an intake that takes clicks as the test says."""

    def __init__(self, click: Click | None = None) -> None:
        self.click = click or Click("item001", "ann", "RID-7", 2, "for-you:v2")
        self.taken: list[Event] = []
        self.failure: Exception | None = None
        self.takes_seconds = 0.0
        self.fetched: list[tuple[list[str], float]] = []
        snapshot = SimpleNamespace(prefetch=self.prefetch, rows=self.rows)
        links: Any = SimpleNamespace(read=lambda token: self.click if token == "good" else None)
        self.routes: Any = ClickRoutes(
            links=links,
            catalog=SimpleNamespace(snapshot=snapshot),  # type: ignore[arg-type]  # as far as it is asked
            intake=SimpleNamespace(take=self.take),  # type: ignore[arg-type]  # as above
            event_type="Click",
        )

    async def prefetch(self, ids: list[str], seconds: float) -> None:
        self.fetched.append((ids, seconds))

    def rows(self, ids: Sequence[str]) -> list[Any]:
        assert self.fetched[-1][0] == ids
        row = SimpleNamespace(fragment=b'{"url":"https://shop.example.com/1"}')
        return [row if one == "item001" else None for one in ids]

    async def take(self, events: list[Event]) -> None:
        await asyncio.sleep(self.takes_seconds)
        if self.failure is not None:
            raise self.failure
        self.taken += events

    async def follow(self, link: str = "good", *, head_only: bool = False) -> Response:
        services: Any = SimpleNamespace(clicks=self.routes, clock=StandingClock())
        state = SimpleNamespace(lifecycle=Lifecycle(running=services))
        scope = {HEAD_ONLY: True} if head_only else {}
        request: Any = SimpleNamespace(scope=scope, app=SimpleNamespace(state=state))
        return await go(link, request)


TARGET = "https://shop.example.com/1?rid=RID-7&pos=2&src=for-you%3Av2"


async def test_a_click_is_one_event_of_its_link_however_often_it_is_followed() -> None:
    scene = Scene()
    answers = [await scene.follow(), await scene.follow()]
    for one in answers:
        assert (one.status_code, one.headers["Location"], one.headers["Cache-Control"]) == (302, TARGET, "no-store")
    assert scene.fetched == [(["item001"], 1.0)] * 2
    [first, again] = scene.taken
    assert first == again
    assert re.fullmatch("go-[0-9a-f]{32}", first.event_id or "")
    assert (first.event_type, first.user_id, first.item_id) == ("Click", "ann", "item001")
    assert (first.session_id, first.sent_at) == (session_of("ann", EPOCH), EPOCH)
    assert (first.recommendation_id, first.attribution_source) == ("RID-7", "for-you:v2")


async def test_only_a_reader_with_a_name_who_wants_the_page_has_clicked() -> None:
    scene = Scene()
    assert (await scene.follow(head_only=True)).status_code == 302
    nobody = Scene(Click("item001", "", "RID-7", 2, "for-you:v2"))
    assert (await nobody.follow()).headers["Location"] == TARGET
    assert scene.taken == nobody.taken == []


async def test_what_is_no_link_or_leads_to_nothing_or_to_nowhere_configured_is_not_found() -> None:
    gone, without = Scene(Click("item002", "ann")), Scene()
    without.routes = None
    for scene, link in ((Scene(), "bad"), (gone, "good"), (without, "good")):
        with pytest.raises(HTTPException) as raised:
            await scene.follow(link)
        assert raised.value.status_code == 404
        assert scene.taken == []
    assert gone.fetched


@pytest.mark.parametrize(
    ("failure", "seconds", "cause"),
    [
        (SharedStateUnavailable("away"), 0.0, "SharedStateUnavailable"),
        (EventProblem("too old"), 0.0, "EventProblem"),
        (None, 1.1, "TimeoutError"),
        (None, 0.9, None),
    ],
)
def test_the_reader_is_led_on_after_a_second_at_most_and_the_log_says_why_a_click_is_lost(
    failure: Exception | None, seconds: float, cause: str | None
) -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.failure, scene.takes_seconds = failure, seconds
        began = asyncio.get_running_loop().time()
        with capture_logs() as logs:
            assert (await scene.follow()).status_code == 302
        assert asyncio.get_running_loop().time() - began == pytest.approx(min(seconds, 1.0))
        assert [line["cause"] for line in logs] == ([] if cause is None else [cause])
        assert len(scene.taken) == (cause is None)

    run_virtual(scenario())
