"""What was put into the items dataset, and what is to be put."""

from pathlib import Path

from service.events.adapters.personalize import USERS_TPS
from service.events.items.pushed import PushedItems


def test_every_item_of_the_catalogue_is_named_in_its_order(tmp_path: Path) -> None:
    pushed = PushedItems(tmp_path, "arn:aws:personalize:eu-west-1:123456789012:dataset/shop/ITEMS")
    try:
        items = [(f"item{number}", b"record%d" % number) for number in range(2_500)]
        for number, (item_id, record) in enumerate(items):
            pushed.add(number, item_id, record, eligible=True)
        assert list(pushed.records()) == items
        pushed.clear()
        assert list(pushed.records()) == []
    finally:
        pushed.close()


def test_no_more_users_are_put_in_a_second_than_amazon_takes() -> None:
    """Source: Personalize developer guide, Endpoints and quotas."""
    assert USERS_TPS == 10.0  # Amazon's
