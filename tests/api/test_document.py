"""What the OpenAPI document says of every route: who may call it, and how it answers."""

from typing import Any

import pytest

from service.api.document import PROBES, SCHEMES
from service.api.query import PARAMETERS
from tests.support.front_door import Door

CALLS = "/recommendations"
Document = dict[str, dict[str, dict[str, dict[str, object]]]]


@pytest.fixture
async def paths(door: Door) -> dict[str, dict[str, dict[str, object]]]:
    document: Document = (await door.http.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"] == SCHEMES
    return document["paths"]


async def test_every_route_but_the_probes_wants_a_credential_and_administration_no_basic_one(
    paths: dict[str, dict[str, dict[str, object]]],
) -> None:
    schemes = {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            allowed = operation.get("security", [])
            assert isinstance(allowed, list)
            tags = operation.get("tags", [])
            assert isinstance(tags, list)
            schemes[method, path] = [name for one in allowed for name in one], "administration" in tags
            responses = operation["responses"]
            assert isinstance(responses, dict)
            assert ("401" in responses) == (path not in PROBES)
            assert all(100 <= int(status) < 600 for status in responses), (path, sorted(responses))
    assert schemes["get", "/livez"][0] == []
    for (method, path), (names, administration) in schemes.items():
        if path not in PROBES:
            assert names == ["key", "bearer", *([] if administration else ["basic"])], (method, path)
    assert schemes["get", "/recommendations"][1] is False
    assert schemes["get", "/items/blocked"][1] is True


async def test_a_head_is_documented_where_a_get_is_without_a_body(
    paths: dict[str, dict[str, dict[str, object]]],
) -> None:
    for path, operations in paths.items():
        assert ("head" in operations) == ("get" in operations), path
        if "get" in operations:
            get, head = operations["get"], operations["head"]
            assert head["operationId"] == f"{get['operationId']}_head"
            responses = head["responses"]
            assert isinstance(responses, dict)
            assert not any("content" in response for response in responses.values())
    ids = [one["operationId"] for operations in paths.values() for one in operations.values()]
    assert len(ids) == len(set(ids))


async def test_pages_for_people_and_the_files_of_them_are_no_part_of_it(
    paths: dict[str, dict[str, dict[str, object]]],
) -> None:
    assert [path for path in paths if path.startswith(("/docs", "/openapi", "/console"))] == []
    assert "/users/{user_id}/explain" in paths or any(path.endswith("/explain") for path in paths)
    assert "422" in paths["/recommendations"]["get"]["responses"]  # type: ignore[operator]  # a dictionary


async def test_the_body_of_a_ranking_has_its_bounds(paths: dict[str, dict[str, dict[str, Any]]]) -> None:
    body = paths["/ranking"]["post"]["requestBody"]
    assert body["required"] is True
    schema = body["content"]["application/json"]["schema"]
    assert schema["required"] == ["user_id", "item_ids"]
    items = schema["properties"]["item_ids"]
    assert (items["minItems"], items["maxItems"]) == (1, 500)
    assert (items["items"]["minLength"], items["items"]["maxLength"]) == (1, 256)


async def test_an_explanation_takes_the_parameters_of_a_call_and_the_user_in_its_path(
    paths: dict[str, dict[str, dict[str, Any]]],
) -> None:
    [path] = [one for one in paths if one.endswith("/explain")]
    # A user may be called like this path, which is nobody's to read about.
    assert set(paths[path]) == {"get", "head"}
    explain, call = ({(one["name"], one["in"]) for one in paths[one]["get"]["parameters"]} for one in (path, CALLS))
    assert explain == call - {("user_id", "query")} | {("user_id", "path")}
    assert ("num_results", "query") in explain
    assert {"200", "401", "422"} <= paths[path]["get"]["responses"].keys()


@pytest.mark.parametrize(
    ("path", "required", "most"),
    [
        ("/recommendations", {"user_id"}, 100),
        ("/similar-items", {"item_id"}, 100),
        ("/ranking", {"user_id", "item_ids"}, 500),
    ],
)
def test_a_call_says_which_parameters_it_needs_and_how_many_items_it_shows_at_most(
    path: str, required: set[str], most: int
) -> None:
    kind: Any = path.removeprefix("/")
    found = {one["name"]: one for one in PARAMETERS[kind]}
    assert {name for name, one in found.items() if one.get("required")} == required
    number, rotate = found["num_results"]["schema"], found["rotate"]["schema"]
    assert (number["minimum"], number["maximum"]) == (1, most)
    assert number.get("default") == (None if kind == "ranking" else 10)
    assert (rotate["minimum"], rotate["default"]) == (0, 0)
    assert all(one["in"] == "query" for one in found.values())
