"""HEAD, and paths behind a proxy's prefix: what a load balancer makes of a request is answered all the same."""

import re
from typing import Any

import pytest

from service.api.entrance import HEAD_ONLY, entered
from tests.support.front_door import Door, OpenDoor

READ = (
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi.json",
    "/docs",
    "/items/blocked",
    "/recommendations?user_id=u1",
    "/recommendations?user_id=",
    "/similar-items?item_id=item001",
    "/ranking?user_id=u1&item_ids=item001,item002",
)
REFUSED = ("/recommendations", "/recommendations?user_id=u1&num_results=0", "/nope", "/users/prewarm", "/events", "/")
ADMIN = "an-admin-key-of-the-tests"
ARNS = {
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/similar",
    "RANKING_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/ranking",
    "ADMIN_KEYS": ADMIN,
}
PASSING = {"x-recommendation-source", "server-timing", "x-request-id", "x-recommendation-id", "age"}


async def test_head_is_answered_as_get_is(open_door: OpenDoor) -> None:
    """F2"""
    async with open_door(**ARNS) as door:
        door.http.headers["X-API-Key"] = ADMIN
        for path in (*READ, *REFUSED):
            await door.http.get(path)
            get = await door.http.get(path)
            head = await door.http.head(path)

            assert head.status_code == get.status_code, path
            passing = PASSING | ({"content-length"} if path == "/metrics" else set())
            ours, theirs = (
                {name: value for name, value in answer.headers.items() if name not in passing} for answer in (head, get)
            )
            assert ours == theirs, path
            assert head.headers["content-length"] != "0"


async def test_head_of_a_kept_list_is_answered_by_the_hit_lane_and_costs_nothing(door: Door) -> None:
    """F2"""
    await door.get("/recommendations", user_id="u1")
    rendered = await door.get("/recommendations", user_id="u1")

    head = await door.http.head("/recommendations?user_id=u1")

    assert head.headers["x-recommendation-source"] == rendered.headers["x-recommendation-source"] == "cache"
    assert head.headers["content-length"] == rendered.headers["content-length"]
    assert len(door.personalize.asked) == 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/livez", "GET, HEAD"),
        ("/recommendations", "GET, HEAD"),
        ("/ranking", "GET, HEAD, POST"),
        ("/items/blocked", "GET, HEAD"),
        ("/items/a/block", "DELETE, PUT"),
        ("/users/a", "DELETE, POST"),
        ("/sample/images/none.svg", "GET, HEAD"),
    ],
)
async def test_the_document_and_a_wrong_method_name_the_same_methods(door: Door, path: str, allowed: str) -> None:
    """F2"""
    refused = await door.http.patch(path)
    paths = (await door.http.get("/openapi.json")).json()["paths"]

    assert refused.status_code == 405
    assert refused.headers["Allow"] == allowed
    documented = {tuple(part for part in one.split("/") if not part.startswith("{")): one for one in paths}
    parts = [part for part in path.split("/") if part != "a"]
    found = documented.get(tuple(parts))
    assert found is None or sorted(map(str.upper, paths[found])) == allowed.split(", ")
    assert found is not None or path.startswith("/sample")


@pytest.mark.parametrize("root_path", ["/personalize", "/shop/v1.2/personalize", "/recommendations", "/livez"])
async def test_a_path_is_found_with_the_proxys_prefix_and_without_it(open_door: OpenDoor, root_path: str) -> None:
    """F3"""
    async with open_door(ROOT_PATH=root_path, **ARNS) as door:
        door.http.headers["X-API-Key"] = ADMIN
        for path in (*READ, "/nope", "/"):
            stripped = await door.http.get(path)
            passed_on = await door.http.get(root_path + path)

            assert passed_on.status_code == stripped.status_code, path
            assert stripped.status_code == (404 if path in {"/nope", "/"} else 200)
            assert passed_on.text == stripped.text or path == "/metrics"


async def test_a_hit_behind_a_prefix_is_the_hit_without_it(open_door: OpenDoor) -> None:
    """F3"""
    async with open_door(ROOT_PATH="/personalize") as door:
        first = await door.get("/recommendations", user_id="u1")
        for path in ("/personalize/recommendations", "/recommendations", "/personalize/recommendations"):
            answer = await door.get(path, user_id="u1")
            assert answer.headers["x-recommendation-source"] == "cache"
            assert answer.content == first.content
        assert len(door.personalize.asked) == 1


async def test_an_id_in_a_path_is_read_behind_the_prefix(open_door: OpenDoor) -> None:
    """F3"""
    async with open_door(ROOT_PATH="/personalize", ADMIN_KEYS=ADMIN) as door:
        door.http.headers["X-API-Key"] = ADMIN
        blocked = await door.http.put("/personalize/items/personalize%2Fitem%C3%BC/block")
        no_text = await door.http.put("/personalize/items/%FF/block")

    assert blocked.json() == {"item_id": "personalize/itemü", "blocked": True}
    assert no_text.status_code == 422


@pytest.mark.parametrize("path", ["/personalizer/livez", "/personalize", "/Personalize/livez", "/personalize//livez"])
async def test_what_only_looks_like_the_prefix_is_no_prefix(open_door: OpenDoor, path: str) -> None:
    """F3"""
    async with open_door(ROOT_PATH="/personalize/") as door:
        assert (await door.http.get(path)).status_code == 404
        assert (await door.http.get("/personalize/livez")).status_code == 200


async def test_the_document_says_where_the_service_is_behind_its_proxy(open_door: OpenDoor) -> None:
    """F3"""
    async with open_door(ROOT_PATH="/personalize") as door:
        for prefix in ("", "/personalize"):
            document = (await door.http.get(f"{prefix}/openapi.json")).json()
            assert document["servers"] == [{"url": "/personalize"}]
            assert "/recommendations" in document["paths"]
            page = (await door.http.get(f"{prefix}/docs")).text
            assert 'data-document="/personalize/openapi.json"' in page
            for file in re.findall(r'(?:src|href)="(/[^"]*)"', page):
                assert file.startswith("/personalize/docs/")
                assert (await door.http.get(file)).status_code == 200


@pytest.mark.parametrize(
    ("root_path", "path", "found"),
    [
        ("", "/shop/a", "/shop/a"),
        ("/shop", "/shop/a", "/a"),
        ("/shop", "/shop/", "/"),
        ("/shop", "/shop", "/shop"),
        ("/shop", "/shopping/a", "/shopping/a"),
        ("/shop", "/a/shop/b", "/a/shop/b"),
        ("/shop", "/shop/shop/a", "/shop/a"),
    ],
)
def test_the_prefix_is_taken_away_once_and_only_where_it_stands_as_a_whole(
    root_path: str, path: str, found: str
) -> None:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
    as_it_came = dict(scope)
    entering = entered(scope, root_path)
    assert entering == {**scope, "path": found, "raw_path": found.encode()}
    assert scope == as_it_came
    assert entered({**scope, "raw_path": None}, root_path)["raw_path"] is None
    # Where the prefix itself was escaped, the rest is as it came.
    assert entered({**scope, "raw_path": b"/%73hop/a"}, root_path)["raw_path"] == b"/%73hop/a"
    head = {**scope, "method": "HEAD"}
    assert entered(head, root_path) == {**entering, HEAD_ONLY: True}
    assert head["method"] == "HEAD"
    other = {"type": "lifespan"}
    assert entered(other, root_path) is other
