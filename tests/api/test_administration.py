"""The routes of administration, over services that keep what they are asked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest

import service
from service.api import admin, explain
from service.sends.ports import PrewarmTerms
from tests.support.small_app import Refused, serving

ADMIN: Final = {"X-API-Key": "admin"}


@dataclass
class Report:
    """What a prewarm has done."""

    fetched: int
    left: list[str]


@dataclass
class Maker:
    """Makes lists of a placement."""

    refusal: str | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    held: asyncio.Event | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def refusal_of(self, *, items: bool) -> str | None:
        self.asked.append(("may", items))
        return self.refusal

    async def make(self, names: list[str], terms: PrewarmTerms, *, seconds: float) -> Report:
        self.asked.append((names, terms, seconds))
        self.began.set()
        if self.held is not None:
            await self.held.wait()
        return Report(len(names), names[1:])

    async def recent_items(self) -> list[str]:
        return ["b", "a"]


class Scene:
    """Two placements, one of users and one of items; who sends the key may administrate."""

    http: httpx.AsyncClient
    refused: Refused

    def __init__(self) -> None:
        self.did: list[tuple[str, str]] = []
        self.makers = {"for-you": Maker(), "similar": Maker()}
        self.turn = asyncio.Lock()
        self.services = SimpleNamespace(
            gate=SimpleNamespace(lets_administrate=self.lets_administrate, lets_in=self.lets_administrate),
            telemetry=SimpleNamespace(unauthorized=SimpleNamespace(inc=lambda: None)),
            placements=[
                SimpleNamespace(name="for-you", kind="recommendations"),
                SimpleNamespace(name="similar", kind="similar-items"),
            ],
            administration=SimpleNamespace(
                prewarmers=self.makers,
                prewarm_turn=self.turn,
                forgetting=SimpleNamespace(forget=self.doing("forget")),
                block_list=SimpleNamespace(
                    block=self.doing("block"), unblock=self.doing("unblock"), ids=lambda: ["x", "y"]
                ),
            ),
        )

    async def lets_administrate(self, headers: list[tuple[bytes, bytes]]) -> bool:
        return (b"x-api-key", b"admin") in headers

    def doing(self, what: str) -> Any:  # noqa: ANN401  # a method
        async def do(name: str) -> None:
            self.did.append((what, name))

        return do

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:  # noqa: ANN401  # of a request
        answer = await self.http.request(method, path, headers=ADMIN, **more)
        return answer.status_code, answer.json()

    async def prewarm(self, **body: object) -> tuple[int, Any]:
        return await self.ask("POST", "/users/prewarm", json=body)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()

    async def wait() -> None:
        pass

    slowing = SimpleNamespace(wait=wait)
    routers = [explain.router, admin.router, admin.versions]
    async with serving(routers, scene.services, wrong_credentials=slowing) as (scene.http, scene.refused):
        yield scene


async def test_a_user_is_forgotten_and_an_item_is_blocked_by_the_name_in_the_path(scene: Scene) -> None:
    assert await scene.ask("DELETE", "/users/a%2Fb") == (200, {"forgotten": True})
    assert await scene.ask("PUT", "/items/x%20y/block") == (200, {"item_id": "x y", "blocked": True})
    assert await scene.ask("DELETE", "/items/x/block") == (200, {"item_id": "x", "blocked": False})
    assert scene.did == [("forget", "a/b"), ("block", "x y"), ("unblock", "x")]
    assert await scene.ask("GET", "/items/blocked") == (200, {"items": ["x", "y"], "count": 2})
    assert await scene.ask("GET", "/items/asked") == (200, {"items": ["b", "a"], "count": 2})
    assert scene.makers["similar"].asked == [("may", True)]


@pytest.mark.parametrize("path", ["/users/{}", "/items/{}/block"])
@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a", True), ("x" * 256, True), ("x" * 257, False), ("%20", False), ("%20a%20", True), ("%FF", False)],
)
async def test_a_name_has_a_letter_and_at_most_256_and_is_text(
    scene: Scene, path: str, name: str, *, is_one: bool
) -> None:
    status, said = await scene.ask("DELETE", path.format(name))
    assert status == (200 if is_one else 422)
    assert [one for _, one in scene.did] == ([name.strip("%20")] if is_one else [])
    if not is_one:
        assert said["field"] == ("user_id" if "users" in path else "item_id")


async def test_a_user_called_like_the_path_of_an_explanation_is_forgotten(scene: Scene) -> None:
    longest = "x" * (256 - len("/explain"))
    assert await scene.ask("DELETE", f"/users/{longest}%2Fexplain") == (200, {"forgotten": True})
    assert scene.did == [("forget", f"{longest}/explain")]
    status, said = await scene.ask("DELETE", f"/users/{longest}x%2Fexplain")
    assert (status, said["field"], said["message"]) == (422, "user_id", "at most 256 characters, not 257")
    assert (await scene.ask("DELETE", "/users/x/explain"))[0] == 405
    assert len(scene.did) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/users/ann"),
        ("POST", "/users/prewarm"),
        ("GET", "/items/asked"),
        ("GET", "/items/blocked"),
        ("PUT", "/items/a/block"),
        ("DELETE", "/items/a/block"),
        ("GET", "/version"),
    ],
)
async def test_without_a_key_nothing_is_done_nor_read(scene: Scene, method: str, path: str) -> None:
    answer = await scene.http.request(method, path, content=b"no JSON")
    assert answer.status_code == 401
    assert (scene.did, scene.makers["similar"].asked) == ([], [])


async def test_lists_are_fetched_for_each_name_once_and_on_the_terms_that_were_given(scene: Scene) -> None:
    for_you, similar = scene.makers.values()
    assert await scene.prewarm(user_ids=["b", " a ", "b"]) == (200, {"fetched": 2, "left": ["a"]})
    assert for_you.asked == [("may", False), (["b", "a"], PrewarmTerms(0.8, 10, 0.0, ""), 4.0)]
    terms = {"spare": 1.0, "num_results": 100, "max_age_seconds": 7.5, "placement": "similar", "seconds": 0.5}
    assert (await scene.prewarm(item_ids=["x"], **terms))[0] == 200
    assert similar.asked == [("may", True), (["x"], PrewarmTerms(1.0, 100, 7.5, "similar"), 0.5)]
    assert not scene.turn.locked()


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "user_ids", "exactly one of"),
        ({"user_ids": ["a"], "item_ids": ["b"]}, "user_ids", "exactly one of"),
        ({"user_ids": ["a", '{"user": 1}']}, "user_ids", "begins with {"),
        ({"item_ids": ["{"]}, "item_ids", "begins with {"),
        ({"user_ids": ["a"], "placement": "none"}, "placement", "there are: for-you, similar"),
        ({"user_ids": ["a", "  "]}, "user_ids", "at least 1 character (at place 2)"),
        ({"user_ids": ["a"], "num_results": 0}, "num_results", "greater than or equal to 1"),
        ({"user_ids": ["a"], "seconds": -0.1}, "seconds", "greater than or equal to 0"),
        ({"user_ids": ["a"], "max_age_seconds": -0.1}, "max_age_seconds", "greater than or equal to 0"),
        ({"user_ids": ["a"], "spare": 0.0}, "spare", "greater than 0"),
        ({"user_ids": ["a"], "spare": 1.01}, "spare", "less than or equal to 1"),
    ],
)
async def test_what_a_prewarm_cannot_do_is_named(scene: Scene, body: dict[str, Any], field: str, said: str) -> None:
    status, answer = await scene.prewarm(**body)
    assert (status, answer["field"]) == (422, field)
    assert said in answer["message"]
    assert all(one.asked == [] for one in scene.makers.values())


async def test_a_placement_that_cannot_be_prewarmed_says_why(scene: Scene) -> None:
    scene.makers["for-you"].refusal = "is a ranking"
    assert await scene.prewarm(user_ids=["a"]) == (
        422,
        {"error": "invalid_parameter", "message": "is a ranking", "field": "placement"},
    )
    assert scene.makers["for-you"].asked == [("may", False)]


async def test_one_prewarm_is_under_way_at_a_time_and_a_look_does_not_count(scene: Scene) -> None:
    for_you, similar = scene.makers.values()
    for_you.held = similar.held = asyncio.Event()
    # A look keeps nobody from fetching.
    looking = asyncio.create_task(scene.prewarm(item_ids=["x"], seconds=0))
    await similar.began.wait()
    fetching = asyncio.create_task(scene.prewarm(user_ids=["a"]))
    await for_you.began.wait()
    assert scene.turn.locked()
    refused = await scene.prewarm(item_ids=["y"])
    assert refused == (409, {"error": "another_prewarm_is_under_way", "message": "Another prewarm is under way"})
    assert len(similar.asked) == 3
    for_you.held.set()
    assert [(await one)[0] for one in (looking, fetching)] == [200, 200]
    assert (await scene.prewarm(item_ids=["y"]))[0] == 200


async def test_the_version_that_runs_names_the_commit_that_it_was_built_from(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Path(service.__file__).with_name("REVISION") == admin.REVISION_FILE
    file = tmp_path / "REVISION"
    monkeypatch.setattr(admin, "REVISION_FILE", file)
    for written, commit in ((None, None), ("", None), ("\n", None), ("abc123\n", "abc123")):
        if written is not None:
            file.write_text(written)
        status, said = await scene.ask("GET", "/version")
        assert (status, said["name"], said["commit"]) == (200, "personalize-connect", commit)
        assert said["version"] == admin.installed_version()
