"""The page Operations: figures, items and settings of a replica."""

from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from service.console.history import HISTORY_SECONDS, MINUTE, History
from service.console.operations import FIGURES
from service.console.search import MAX_FOUND, search
from service.settings import Settings, load_settings
from service.telemetry import Telemetry
from service.wiring.shown_settings import shown_settings
from tests.support.clocks import StandingClock
from tests.support.console import Visitor
from tests.support.fakes import FakeCatalog, MemoryBlockList
from tests.support.front_door import OpenDoor
from tests.support.processes import CAMPAIGN_ARN

SECRET = "a-secret-that-nobody-may-read"


async def operations(visitor: Visitor) -> dict[str, Any]:
    answer = await visitor.get("operations")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_it_says_what_this_replica_answered_spent_and_leans_on(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="open", EVENT_KEYS="events-key-of-24-characters") as door:
        visitor = Visitor(door)
        await visitor.read("/console/operations")
        for user in ("ann", "ann", "bob", ""):
            await door.get("/recommendations", user_id=user)
        found = await operations(visitor)
        counted = sum((Counter(minute["answers"]) for minute in found["minutes"]), Counter())
        assert counted == {"personalize": 2, "cache": 1, "popular": 1}
        [placement] = found["placements"]
        assert (placement["name"], placement["kind"], placement["tps"]) == ("for-you", "recommendations", 490.0)
        assert (placement["spent"], placement["breaker"]) == (2, 0)
        figures = found["figures"]
        assert (figures["redis_up"], figures["catalog_items"], figures["events_waiting"]) == (1.0, 60.0, 0.0)
        assert figures["cache_entries"] == 2.0
        assert set(FIGURES) == set(figures)


async def test_an_item_is_found_seen_blocked_and_shown_again(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="open") as door:
        visitor = Visitor(door)
        await visitor.read("/console/operations")
        found = (await visitor.post("items/search", text="ITEM00")).json()
        assert [item["id"] for item in found["items"]] == [f"item{n:03}" for n in range(10)]
        assert (found["looked_at"], found["complete"]) == (60, True)
        [item] = (await visitor.post("items/search", text='näme "7"')).json()["items"]
        assert (item["id"], item["name"], item["blocked"]) == ("item007", 'Näme "7" <b>', False)
        assert item["further"] == {"category": "odd", "stock": 7}
        for path, blocked in (("items/block", True), ("items/unblock", False)):
            assert (await visitor.post(path, item_id="item007")).status_code == 200
            [item] = (await visitor.post("items/search", text="item007")).json()["items"]
            assert item["blocked"] is blocked
            listed = (await visitor.get("items/blocked")).json()
            assert (
                listed == {"count": 1, "items": [{"id": "item007", "item": item}]} if blocked else not listed["count"]
            )
        assert (await visitor.post("items/search", text="no such item")).json()["items"] == []
        assert (await visitor.post("items/search", text="  ")).status_code == 422


async def test_a_search_stops_when_enough_is_found_or_its_time_is_over() -> None:
    clock, blocked = StandingClock(), MemoryBlockList()
    catalog = FakeCatalog([f"item{n}" for n in range(1_000)])
    found = await search("item", catalog, blocked, clock)
    assert (len(found.items), found.complete) == (MAX_FOUND, False)
    [exact] = (await search("item7", FakeCatalog(["item7"]), blocked, clock)).items
    assert exact["id"] == "item7"

    class Hurried(StandingClock):
        def monotonic(self) -> float:
            self.now += 1.0
            return self.now

    slow = await search("none of them", catalog, blocked, Hurried())
    assert (slow.items, slow.complete, slow.looked_at < 1_000) == ([], False, True)


def test_an_hour_is_kept_by_the_minute_and_no_more() -> None:
    clock, telemetry = StandingClock(), Telemetry(placements=["for-you"])
    history = History(telemetry, clock)

    def answers(count: int) -> None:
        for _ in range(count):
            telemetry._answers.count("for-you", "cache", "", 0.001)

    history.sample()
    answers(3)
    assert sum(one["answers"]["cache"] for one in history.by_minute()) == 3
    for _ in range(2 * 360):
        answers(1)
        clock.now += 10
        history.sample()
    minutes = history.by_minute()
    assert len(minutes) <= HISTORY_SECONDS / MINUTE + 1
    assert 350 <= sum(one["answers"]["cache"] for one in minutes) <= 360
    telemetry.recorder_of("for-you").transaction("ok", 0.1)
    assert history.transactions_lately() == ({"for-you": 1}, 60.0)


SECRETS = {
    "API_KEYS": SECRET,
    "BASIC_AUTH": f"braze:{SECRET}",
    "ADMIN_KEYS": f"{SECRET}-2",
    "USER_KEY_SECRET": SECRET,
    "EVENT_KEYS": f"{SECRET}-3",
    "GO_KEYS": f"{SECRET}-4",
    "GO_URL": "https://recs.example.com",
    "CONSOLE_SECRET": SECRET,
    "REDIS_URL": f"redis://user:{SECRET}@127.0.0.1:1/0",
}


async def test_the_settings_are_shown_without_any_secret(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="open", **SECRETS) as door:
        page = unescape((await Visitor(door).read("/console/operations")).text)
        assert SECRET not in page
        for shown in (
            "<code>API_KEYS</code></th><td><code>****</code>",
            "127.0.0.1:1",
            CAMPAIGN_ARN,
        ):
            assert shown in page


def test_every_setting_that_may_hold_a_secret_is_starred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new one too: whatever is a secret by its type is none of the values."""
    key_file = tmp_path / "keys"
    key_file.write_text(f"{SECRET}-5\n", "utf-8")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADMIN_KEYS_FILE", str(key_file))
    for name, value in {"PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN_ARN, "CATALOG_URL": "file:///i.csv"}.items():
        monkeypatch.setenv(name, value)
    shown = {one.name: one for one in shown_settings(load_settings(None))}
    secrets = {name.upper() for name, one in Settings.model_fields.items() if "SecretStr" in str(one.annotation)}
    assert secrets >= {"API_KEYS", "REDIS_URL", "USER_KEY_SECRET", "CONSOLE_SECRET"}
    assert {name for name in secrets - {"REDIS_URL"} if shown[name].value not in ("", "****")} == set()
    assert SECRET not in str(shown)
    assert shown["PORT"].is_default
    assert not shown["API_KEYS"].is_default
    assert "placement for-you" in shown


async def test_names_of_items_and_pages_that_hold_scripts_are_text(open_door: OpenDoor, catalog_file: Path) -> None:
    """What a module sets as text and what Jinja escapes; tests/browser looks at the page itself."""
    text = catalog_file.read_text("utf-8").replace("item000", '"><script>alert(1)</script>')
    catalog_file.write_text(text, "utf-8")
    async with open_door(CONSOLE_ACCESS="open", GROUP_COLUMN="category") as door:
        visitor = Visitor(door)
        page = await visitor.read("/console/operations")
        assert "<script>alert" not in page.text
        answer = await visitor.post("items/search", text="<script>")
        assert answer.headers["content-type"] == "application/json"
