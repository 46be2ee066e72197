import csv
from collections import Counter
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tools import make_sample

SAMPLE = Path(__file__).resolve().parents[2] / "sample"

Row = dict[str, str]


def read(name: str) -> list[Row]:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "README.md"
    }


@pytest.fixture(scope="module")
def items() -> list[Row]:
    return read("items.csv")


@pytest.fixture(scope="module")
def users() -> list[Row]:
    return read("users.csv")


@pytest.fixture(scope="module")
def history() -> list[Row]:
    return read("interactions.csv")


def test_the_generator_writes_the_committed_files_byte_for_byte_and_no_others(tmp_path: Path) -> None:
    make_sample.write(tmp_path)

    made, committed = contents(tmp_path), contents(SAMPLE)
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []


def test_every_item_is_complete_and_no_id_appears_twice(items: list[Row]) -> None:
    assert list(items[0]) == [
        "id",
        "url",
        "name",
        "price",
        "image",
        "category",
        "brand",
        "stock",
        "description",
    ]
    assert all(all(item.values()) for item in items)
    assert all(float(item["price"]) > 0 for item in items)
    assert all(int(item["stock"]) >= 0 for item in items)
    assert len({item["id"] for item in items}) == len(items) == 60
    assert len({item["name"] for item in items}) == 60
    assert {item["id"] for item in items if item["stock"] == "0"} == make_sample.SOLD_OUT


def test_every_category_has_enough_items_to_have_a_taste_in(items: list[Row]) -> None:
    sizes = Counter(item["category"] for item in items)
    assert len(sizes) == 8
    assert min(sizes.values()) >= 7


def test_every_item_has_a_small_well_formed_picture_of_its_own_that_needs_nothing_from_outside(
    items: list[Row],
) -> None:
    pictures = set()
    for item in items:
        assert item["image"] == f"http://127.0.0.1:8000/sample/images/{item['id']}.svg"
        svg = (SAMPLE / "images" / f"{item['id']}.svg").read_bytes()
        root = ET.fromstring(svg)  # noqa: S314 - the project's own file
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.findtext("{http://www.w3.org/2000/svg}title") == item["name"]
        assert len(svg) < 2048
        assert b"href" not in svg
        assert b"$" not in svg
        pictures.add(svg.split(b"</title>")[1])
    assert len(pictures) == len(items)


def test_there_are_fifty_users_from_user1_to_user50(users: list[Row]) -> None:
    assert [user["USER_ID"] for user in users] == [f"user{number}" for number in range(1, 51)]
    assert all(18 <= int(user["AGE"]) <= 100 for user in users)
    assert {user["LOYALTY_TIER"] for user in users} == {"bronze", "silver", "gold"}


def test_every_interaction_is_of_a_known_user_with_a_known_item(
    items: list[Row], users: list[Row], history: list[Row]
) -> None:
    assert {event["USER_ID"] for event in history} == {user["USER_ID"] for user in users}
    assert {event["ITEM_ID"] for event in history} == {item["id"] for item in items}


def test_the_history_is_in_order_and_large_enough_for_personalize(history: list[Row]) -> None:
    times = [int(event["TIMESTAMP"]) for event in history]
    assert times == sorted(times)
    assert len(history) >= 1000
    assert sum(count >= 2 for count in Counter(event["USER_ID"] for event in history).values()) >= 25


def test_more_is_looked_at_than_put_into_a_basket_and_more_of_that_than_bought(history: list[Row]) -> None:
    counts = Counter(event["EVENT_TYPE"] for event in history)
    assert set(counts) == {"View", "AddToCart", "Purchase"}
    assert counts["View"] > counts["AddToCart"] > counts["Purchase"] > 0


def test_a_user_looks_mostly_at_two_categories_and_users_differ_in_which(items: list[Row], history: list[Row]) -> None:
    category = {item["id"]: item["category"] for item in items}
    favourites: Counter[str] = Counter()
    by_user = sorted(history, key=lambda event: event["USER_ID"])
    for _, events in groupby(by_user, key=lambda event: event["USER_ID"]):
        seen = Counter(category[event["ITEM_ID"]] for event in events)
        top = seen.most_common(2)
        assert sum(count for _, count in top) >= 0.6 * seen.total()
        favourites[top[0][0]] += 1
    assert len(favourites) == 8
