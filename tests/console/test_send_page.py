"""The page Send: a plan that is made beside the service, and lists fetched before a send."""

from typing import Any

import pytest

from service.console.send import MAX_TEXT_CHARACTERS
from tests.support.console import Visitor
from tests.support.front_door import OpenDoor

OPEN = {"CONSOLE_ACCESS": "open", "PERSONALIZE_TPS": "5"}
SEND: dict[str, Any] = {"placement": "for-you", "recipients": 20_000, "minutes": 10.0, "tps": 5.0}


@pytest.mark.processes
async def test_a_plan_says_what_everybody_gets_and_three_ways_to_make_it_better(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/send")

        found = (await visitor.post("send/plan", **SEND, batch=50.0)).json()
        good = (await visitor.post("send/plan", **SEND | {"tps": 500.0})).json()

        shares = {source: one["share"] for source, one in found["recipients"].items()}
        assert found["sentence"].startswith(f"{round(100 * (shares['personalize'] + shares['cache']))} % will get")
        assert "popular items" in found["sentence"]
        assert [way.partition(":")[0] for way in found["verdict"]["ways_out"]] == ["Slower", "More TPS", "Lists before"]
        assert found["svg"].startswith("<svg ")
        assert " style=" not in found["svg"]
        assert good["sentence"] == "100 % will get a live or a fresh list."
        assert good["verdict"]["all_fresh"]


async def test_a_send_that_cannot_be_is_one_line_with_the_field(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/send")

        none = await visitor.post("send/plan", **SEND | {"placement": "nowhere"})
        much = await visitor.post("send/plan", **SEND | {"recipients": 0})

        assert (none.status_code, none.json()["field"]) == (422, "placement")
        assert (much.status_code, much.json()["field"]) == (422, "recipients")


@pytest.mark.processes
async def test_the_planner_says_which_of_its_bounds_is_passed(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/send")

        answer = await visitor.post("send/plan", **SEND | {"tps": 1e9})

        assert (answer.status_code, answer.json()["field"]) == (422, "tps")


async def test_a_users_file_is_read_in_pieces_and_its_users_get_lists_in_spare_slots(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/send")

        read = (await visitor.post("send/users", name="users.csv", text="user_id,age\nann,5\nbob,6\n,7\n")).json()
        report = (await visitor.post("send/prewarm", user_ids=read["users"], placement="for-you", seconds=0.0)).json()

        assert read["users"] == ["ann", "bob"]
        assert len(read["findings"]) == 1
        assert report["left"] == ["ann", "bob"]


async def test_a_file_that_names_nobody_is_refused_in_words(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/send")

        answer = await visitor.post("send/users", name="users.csv", text="a,b\n1,2\n")
        long = await visitor.post("send/users", name="users.csv", text="x" * (MAX_TEXT_CHARACTERS + 1))

        assert (answer.status_code, answer.json()["field"]) == (422, "file")
        assert "user_id" in answer.json()["message"]
        assert (long.status_code, long.json()["field"]) == (422, "text")


async def test_the_page_says_what_is_under_way(open_door: OpenDoor) -> None:
    async with open_door(**OPEN) as door:
        visitor = Visitor(door)
        await visitor.read("/console/send")

        state = (await door.http.get("/console/api/send/state")).json()

        assert state == {
            "prewarming": False,
            "batches": {"for-you": {"lists": 0, "loaded_at": None, "loading": None, "problem": ""}},
        }
