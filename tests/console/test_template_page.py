"""The page Template: a template is rendered beside the service, for users and in hard cases, at no caller's cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.braze.lint.lint import Lint
from service.console.starters import ADDRESS, FIELDS, Starter, starters
from service.errors import BreakerOpen
from service.models import RequestKind
from tests.integration.test_documented_templates import TEMPLATES
from tests.support.console import Visitor
from tests.support.front_door import OpenDoor

pytestmark = pytest.mark.processes

OPEN = {"CONSOLE_ACCESS": "open"}
KINDS: tuple[RequestKind, ...] = ("recommendations", "similar-items", "ranking")
CALL = "{% connected_content https://a.example/recommendations?user_id={{${user_id} | url_param_escape}}&num_results=4 "
MAIL = CALL + ":save r %}{% for item in r %}{{ item.id }} {% endfor %}"


async def look(visitor: Visitor, template: str, *users: str, **more: object) -> dict[str, Any]:
    wanted: dict[str, Any] = {"channel": "email", "parts": {"body": template}, "users": list(users) or ["ann"], **more}
    answer = await visitor.post("template", **wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def part(found: Mapping[str, Any], number: int = 0) -> dict[str, Any]:
    first: dict[str, Any] = found["shown"][number]["parts"][0]
    return first


async def test_users_and_cases_get_what_a_call_would_get_and_each_list_costs_one_transaction(
    open_door: OpenDoor,
) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/template")

        found = await look(visitor, MAIL, "ann", "bob", cases=["empty", "one", "down"])

        called = [item["id"] for item in (await door.get("/recommendations", user_id="ann", num_results=4)).json()]
        assert part(found)["text"].split() == called
        assert part(found, 1)["text"].split() != called
        assert part(found, 3)["text"].split() == called[:1]
        assert part(found, 4)["calls"][0]["status"] == 598
        assert [one["rule"] for one in found["findings"]] == ["html-unescaped", "no-guard"]
        # One for each user; the call after it found the list.
        assert [one.user_id for one in door.personalize.asked] == ["ann", "bob"]


async def test_without_a_spare_slot_it_shows_popular_items_and_says_why(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/template")
        door.personalize.failure = BreakerOpen()  # type: ignore[assignment]  # whatever it fails by

        found = await look(visitor, MAIL)

        assert (part(found)["calls"][0]["source"], part(found)["calls"][0]["reason"]) == ("popular", "budget")


async def test_no_call_leaves_the_service_and_a_wrong_one_gets_what_braze_would_get(open_door: OpenDoor) -> None:
    calls = {
        "https://evil.example/steal?user_id=ann": (598, "not called: only the service is"),
        "https://169.254.169.254/latest/meta-data/": (598, "not called"),
        "http://127.0.0.1:6379/recommendations": (598, "ports 80 and 443"),
        "file:///etc/passwd": (598, "an address begins with"),
        "https://a.example/recommendations/?user_id=ann :basic_auth r": (404, "no such path"),
        "https://a.example/recommendations?num_results=4 :basic_auth r": (422, "user_id"),
        "https://a.example/recommendations?user_id=ann": (401, "names no credential"),
        "https://a.example/recommendations?user_id=ann :basic_auth recommendations": (200, ""),
        "https://a.example/recommendations?user_id=ann :method post :basic_auth r": (405, "GET only"),
    }
    async with open_door(**OPEN, ALLOW_ANONYMOUS="false", BASIC_AUTH="braze:pass-of-24-characters-long") as door:
        visitor = Visitor(door)
        await visitor.read("/console/template")
        for address, (status, problem) in calls.items():
            [call] = part(await look(visitor, f"{{% connected_content {address} %}}"))["calls"]
            assert (address, call["status"]) == (address, status)
            assert problem in call["problem"]


async def test_values_stand_for_attributes_and_parts_of_a_channel_are_the_only_ones(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/template")
        template = "{{ ${first_name} }} {{ event_properties.${product_id} }}"

        found = await look(visitor, template, values={"first_name": "Ann", "event_properties.product_id": "kettle"})
        wrong = await visitor.post("template", channel="push", parts={"subject": "x"}, users=["u"])
        unknown = await visitor.post("template", channel="fax", parts={"body": "x"}, users=["u"])

        assert part(found)["text"] == "Ann kettle"
        assert (wrong.status_code, wrong.json()["field"]) == (422, "parts")
        assert (unknown.status_code, unknown.json()["field"]) == (422, "channel")


async def test_nobody_looks_at_a_template_without_a_session_or_a_token(open_door: OpenDoor) -> None:
    async with open_door(ADMIN_KEYS="admin-key-of-24-characters-") as door:
        assert (await door.http.get("/console/template")).status_code == 401
        wanted = {"channel": "email", "parts": {"body": MAIL}, "users": ["ann"]}
        assert (await door.http.post("/console/api/template", json=wanted)).status_code == 401
        assert door.personalize.asked == []


async def test_the_page_offers_what_the_service_can_answer_with_its_own_credential(open_door: OpenDoor) -> None:
    async with open_door(**OPEN, ALLOW_ANONYMOUS="false", API_KEYS="key-of-24-characters-long") as door:
        page = (await Visitor(door).read("/console/template")).text

        assert ":auth_credentials recommendations" in page
        assert ":basic_auth" not in page
        assert "E-mail: four items" in page
        # There is no placement of similar items here.
        assert "E-mail: abandoned cart" not in page


@pytest.mark.parametrize("starter", starters(KINDS, ":basic_auth recommendations"), ids=lambda one: one.name)
def test_lint_finds_nothing_in_a_template_to_start_from(starter: Starter) -> None:
    checker = Lint(starter.channel)

    assert [one for name, text in starter.parts.items() for one in checker.check(name, text)] == []
    assert checker.across() == []
    assert set(starter.parts) <= set(FIELDS[starter.channel])
    assert ADDRESS in "".join(starter.parts.values())


def test_the_templates_to_start_from_are_those_of_the_documentation() -> None:
    folder = Path(__file__).parents[2] / "service/console/starters"
    documented = {text for page, text in TEMPLATES.items() if page.startswith("docs/")}

    assert {path.read_text("utf-8") for path in folder.iterdir()} == documented


def test_without_a_credential_none_is_named() -> None:
    assert all(":basic_auth" not in text for one in starters(KINDS, "") for text in one.parts.values())
