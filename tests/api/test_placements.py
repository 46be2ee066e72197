"""`/similar-items` and `/ranking` through the front door."""

from pathlib import Path

from service.errors import RecommenderError
from tests.support.front_door import OpenDoor

ARNS = {
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/similar",
    "SIMILAR_ITEMS_TPS": "100",
    "RANKING_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/ranking",
    "RANKING_TPS": "100",
}


async def test_similar_items_are_live_then_cached_for_every_caller(open_door: OpenDoor) -> None:
    async with open_door(**ARNS) as door:
        live = await door.get("/similar-items", item_id="item007")
        hits = [await door.get("/similar-items", item_id="item007", user_id=user) for user in ("ann", "ann", "bob")]
        assert live.headers["X-Recommendation-Source"] == "personalize"
        assert live.headers["X-Recommendation-Placement"] == "similar"
        assert {one.headers["X-Recommendation-Source"] for one in hits} == {"cache"}
        assert all(item["id"] != "item007" for item in live.json())
        assert [(one.kind, one.item_id, one.user_id) for one in door.personalize.asked] == [
            ("similar-items", "item007", "")
        ]


async def test_an_item_that_is_blank_gets_the_popular_list_and_one_that_is_absent_is_wrong(open_door: OpenDoor) -> None:
    async with open_door(**ARNS) as door:
        blank = await door.get("/similar-items", item_id="")
        assert (blank.status_code, blank.headers["X-Degraded-Reason"]) == (200, "no_item")
        absent = await door.get("/similar-items", user_id="ann")
        assert (absent.status_code, absent.json()["field"]) == (422, "item_id")


async def test_a_ranking_answers_the_same_to_get_and_post(open_door: OpenDoor) -> None:
    async with open_door(**ARNS) as door:
        ids = [f"item{n:03}" for n in (5, 9, 2, 7)]
        got = await door.get("/ranking", user_id="ann", item_ids=",".join(ids))
        posted = await door.http.post("/ranking", json={"user_id": "ann", "item_ids": ids, "format": "object"})
        assert sorted(item["id"] for item in got.json()) == sorted(ids)
        assert [item["id"] for item in posted.json()["items"]] == [item["id"] for item in got.json()]
        assert (posted.json()["source"], posted.json()["placement"]) == ("cache", "ranking")
        assert len(door.personalize.asked) == 1


async def test_a_ranking_that_fails_is_the_order_given(open_door: OpenDoor) -> None:
    async with open_door(**ARNS) as door:
        door.personalize.failure = RecommenderError()
        answer = await door.get("/ranking", user_id="ann", item_ids="item003,item001")
        assert answer.status_code == 200
        assert answer.headers["X-Recommendation-Source"] == "unranked"
        assert [item["id"] for item in answer.json()] == ["item003", "item001"]


async def test_wrong_queries_name_their_field(open_door: OpenDoor) -> None:
    async with open_door(**ARNS) as door:
        many = ",".join(f"i{n}" for n in range(501))
        for path, field in (
            ("/ranking?user_id=a", "item_ids"),
            (f"/ranking?user_id=a&item_ids={many}", "item_ids"),
            ("/ranking?item_ids=a", "user_id"),
            ("/recommendations?user_id=a&placement=nowhere", "placement"),
            ("/recommendations?user_id=a&placement=similar", "placement"),
            (f"/similar-items?item_id={'x' * 257}", "item_id"),
            ("/recommendations?user_id=a&context.bad-name=1", "context.bad-name"),
        ):
            answer = await door.http.get(path)
            assert (answer.status_code, answer.json()["field"]) == (422, field), path
        for body in (b"[]", b"{", b'{"user_id": "a", "item_ids": [{}]}', b'{"user_id": true, "item_ids": ["a"]}'):
            answer = await door.http.post("/ranking", content=body)
            assert answer.status_code == 422, body


async def test_a_kind_without_a_placement_says_so(open_door: OpenDoor) -> None:
    async with open_door() as door:
        answer = await door.get("/similar-items", item_id="item001")
        assert (answer.status_code, answer.json()["field"]) == (422, "placement")


async def test_a_file_makes_placements_with_rules_of_their_own(open_door: OpenDoor, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    arn = "arn:aws:personalize:us-east-1:000000000000:campaign/a"
    path.write_text(
        f"""
[placements.plain]
campaign_arn = "{arn}"
tps = 100
[placements.varied]
campaign_arn = "{arn}"
tps = 100
max_per = {{ category = 1 }}
exclusion_filter = 'EXCLUDE ItemID WHERE Items.id = "item010"'
pin = [{{ item = "item059", slot = 2 }}]
"""
    )
    async with open_door(PLACEMENTS_FILE=str(path), PERSONALIZE_CAMPAIGN_ARN="") as door:
        plain = await door.get("/recommendations", user_id="ann", num_results=4)
        varied = [
            await door.get("/recommendations", user_id="ann", placement="varied", num_results=2) for _ in range(2)
        ]
        assert plain.headers["X-Recommendation-Placement"] == "plain"
        assert [one.headers["X-Recommendation-Placement"] for one in varied] == ["varied", "varied"]
        # One ARN and one filter: one list serves both placements.
        assert len(door.personalize.asked) == 1
        for answer in varied:
            assert [item["id"] for item in answer.json()][1] == "item059"
