"""D5: `doctor` compares what is recommended with the catalogue, for each placement."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doctor.conftest import Doctor
from tests.support.local_personalize import LocalPersonalize
from tests.support.processes import CAMPAIGN_ARN, SAMPLE

FILTER_ARN = "arn:aws:personalize:us-east-1:000000000000:filter/"


@pytest.fixture
def other_ids(tmp_path: Path) -> Callable[[Callable[[int, str], str]], str]:
    """Writes the sample's catalogue with other ids, made of each row's number and id; its URL."""

    def write(other: Callable[[int, str], str]) -> str:
        path = tmp_path / "items.csv"
        header, *rows = (SAMPLE / "items.csv").read_text("utf-8").splitlines()
        changed = (f"{other(number, row.partition(',')[0])},{row.partition(',')[2]}" for number, row in enumerate(rows))
        path.write_text("\n".join([header, *changed]), encoding="utf-8")
        return f"file://{path}"

    return write


def test_a_catalogue_with_other_ids_than_personalize_is_found(
    doctor: Doctor, other_ids: Callable[[Callable[[int, str], str]], str]
) -> None:
    report = doctor(CATALOG_URL=other_ids(lambda _, item_id: f"sku-{item_id}"))

    assert report.status == 1
    assert report.says("for-you", "error", "0 of 25 recommended items are in the catalogue")
    assert report.says("for-you", "error", "the catalogue 'sku-")


def test_a_catalogue_of_half_the_shop_is_a_warning(
    doctor: Doctor, other_ids: Callable[[Callable[[int, str], str]], str]
) -> None:
    report = doctor(CATALOG_URL=other_ids(lambda number, item_id: item_id if number % 4 == 0 else f"sku-{item_id}"))

    assert report.status == 0
    assert report.says("for-you", "warning", "is the catalogue whole")


def test_a_catalogue_that_cannot_be_read_is_found_and_hides_nothing_else(doctor: Doctor) -> None:
    report = doctor(CATALOG_URL="file:///nowhere/items.csv")

    assert report.status == 1
    assert report.says("catalogue", "error", "/nowhere/items.csv")
    assert report.says("for-you", "ok", "answers")


def test_every_placement_is_asked_for_what_it_wants(doctor: Doctor, local: LocalPersonalize, tmp_path: Path) -> None:
    file = tmp_path / "placements.toml"
    file.write_text(
        f"""
[placements.home]
campaign_arn = "{CAMPAIGN_ARN}"
variants = [
    {{ name = "v2", share = 0.5, campaign_arn = "{CAMPAIGN_ARN.replace("local", "gone")}", tps = 5 }},
    {{ name = "holdout", share = 0.1, popular = true }},
]
[placements.like-this]
kind = "similar-items"
recommender_arn = "{CAMPAIGN_ARN.replace("campaign", "recommender")}"
[placements.sorted]
kind = "ranking"
campaign_arn = "{CAMPAIGN_ARN}"
filter_arn = "{FILTER_ARN}gone"
""",
        encoding="utf-8",
    )

    report = doctor(PLACEMENTS_FILE=str(file), PERSONALIZE_CAMPAIGN_ARN="")

    assert report.says("home", "ok", "answers")
    assert report.says("home, variant v2", "error", "campaign/gone is refused: ResourceNotFoundException")
    assert report.says("like-this", "ok", "in the catalogue")
    assert report.says("sorted", "error", f"the filter {FILTER_ARN}gone is refused")
    assert local.stats()["transactions"] == 3
