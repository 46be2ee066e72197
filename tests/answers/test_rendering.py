"""Items as JSON: with further columns, with marks of promotion, and what is said of columns that there are not."""

import json
from collections.abc import Sequence

import pytest

from service.answers.rendering import check_fields, render_items, render_object
from service.errors import InvalidQuery
from service.models import RecommendationQuery
from tests.support.fakes import FakeCatalog

IDS = ("a", "b")


def rendered(fields: Sequence[str], columns: Sequence[str] = ("color", "size")) -> list[dict[str, object]]:
    catalog = FakeCatalog(IDS, columns=columns)
    rows = [row for row in catalog.rows(IDS) if row is not None]
    items: list[dict[str, object]] = json.loads(render_items(rows, fields, catalog, item_ids=IDS, promoted={"b"}))
    return items


@pytest.mark.parametrize(
    ("fields", "further"),
    [
        ((), {}),
        (("name", "id"), {}),
        (("size",), {"size": "size of b"}),
        (("size", "color", "size"), {"size": "size of b", "color": "color of b"}),
        (("gone", "color"), {"gone": None, "color": "color of b"}),
        (("promoted",), {"promoted": True}),
        (("promoted", "color", "promoted"), {"color": "color of b", "promoted": True}),
    ],
)
def test_each_column_that_is_asked_for_is_there_once(fields: Sequence[str], further: dict[str, object]) -> None:
    plain = rendered(())
    items = rendered(fields)
    assert items[1] == {**plain[1], **further}
    assert list(items[1]) == [*plain[1], *further]
    assert items[0].get("promoted") == (False if "promoted" in further else None)


def test_a_column_of_the_catalogue_that_is_called_promoted_is_that_column() -> None:
    assert [item["promoted"] for item in rendered(["promoted"], ["promoted"])] == ["promoted of a", "promoted of b"]


def test_an_object_says_more_about_its_items() -> None:
    assert json.loads(render_object(b"[1]", count=1, source="cache")) == {"items": [1], "count": 1, "source": "cache"}


@pytest.mark.parametrize(("columns", "there"), [((), "none"), (("color", "size"), "color, size")])
def test_a_column_that_there_is_not_is_refused_with_those_that_there_are(columns: Sequence[str], there: str) -> None:
    catalog = FakeCatalog(IDS, columns=columns)
    for fields in [(), ("name",), ("promoted", "price"), tuple(columns)]:
        check_fields(RecommendationQuery("ann", 1, fields=fields), catalog)
    with pytest.raises(InvalidQuery, match=f"no catalogue column 'secret'; there are: {there}$"):
        check_fields(RecommendationQuery("ann", 1, fields=("name", "secret")), catalog)
    catalog.is_open = True
    check_fields(RecommendationQuery("ann", 1, fields=("secret",)), catalog)
