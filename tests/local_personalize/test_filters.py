from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.local_personalize.data import Dataset
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.filters import FILTER_ARN, DeclaredFilters
from service.local_personalize.learn import CoVisitationModel

Start = Callable[..., Any]
"""Of the fixture `start`; it gives a `LocalPersonalize`."""

FILTERS = [
    'seen=EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
    "named=EXCLUDE ItemID WHERE Items.ITEM_ID IN ($NAMES)",
    "only=INCLUDE ItemID WHERE Items.ITEM_ID IN ($NAME)",
]


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["itemId"] for item in answer["itemList"]]


def test_what_a_filter_drops_is_refilled_from_further_down(start: Start) -> None:
    running = start(filters=FILTERS)
    plain = ids(running.recommend(userId="camper0", numResults=3))
    values = {"NAMES": f'"{plain[0]}","{plain[1]}"'}
    filtered = running.recommend(userId="camper0", numResults=3, filterArn=FILTER_ARN + "named", filterValues=values)
    assert not set(ids(filtered)) & set(plain[:2])
    assert ids(filtered)[0] == plain[2]


def test_items_that_the_user_touched_can_be_filtered_out(start: Start, model: CoVisitationModel) -> None:
    touched = {one.item_id for one in model.dataset.histories["camper0"]}
    answer = start(filters=FILTERS).recommend(userId="camper0", numResults=50, filterArn=FILTER_ARN + "seen")
    assert ids(answer)
    assert not touched & set(ids(answer))


def test_an_inclusion_without_its_value_is_refused(start: Start) -> None:
    with pytest.raises(ClientError, match="InvalidInputException"):
        start(filters=FILTERS).recommend(userId="camper0", filterArn=FILTER_ARN + "only")


@pytest.mark.parametrize("declared", ["x", "=EXCLUDE", "bad=EXCLUDE ItemID", "odd=EXCLUDE ItemID WHERE Items.NOPE > 1"])
def test_a_declaration_that_cannot_work_is_named(model: CoVisitationModel, declared: str) -> None:
    with pytest.raises(LocalPersonalizeError, match="--filter"):
        DeclaredFilters([declared], model.dataset)


def test_a_field_in_quotes_which_amazon_does_not_know_is_refused() -> None:
    """C4: only the service's own exclusions may name a column with blanks."""
    dataset = Dataset(histories={}, items={"a": {"ITEM_ID": "a", "MY COLUMN": "x"}}, users={})
    with pytest.raises(LocalPersonalizeError, match="Amazon knows no field in double quotes"):
        DeclaredFilters(['x=EXCLUDE ItemID WHERE Items."MY COLUMN" IN ("x")'], dataset)
