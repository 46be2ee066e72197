"""What keeps an item out of an answer, with every rule of the service and the placement at once."""

from collections.abc import Sequence

from service.answers.exclusions import RequestExclusion
from service.answers.ports import NoEvents
from service.answers.rules import ItemRules
from service.answers.selection import reason_to_drop
from service.catalog.current import CurrentCatalog
from service.catalog.item import CatalogRow
from service.filters import parse_filter
from service.models import RecommendationQuery
from tests.support.fakes import FakeCatalog, MemoryBlockList

IDS = [f"i{number}" for number in range(6)]


class Bought(NoEvents):
    """One user has bought something, and an item that is gone."""

    def items(self, user_id: str) -> frozenset[str]:
        return frozenset({IDS[0], IDS[5], "gone"}) if user_id == "buyer" else frozenset()


class Shirts(FakeCatalog):
    """Two of each colour; the last two are of none."""

    def __init__(self) -> None:
        super().__init__(IDS, columns=("size", "color"))
        for number, one in enumerate(IDS):
            item = {"id": one, "url": "u", "name": "n", "price": float(number), "image": "i"}
            color = ("red", "red", "blue", "blue", None, "")[number]
            self._rows[one] = CatalogRow.from_values(item, ["M", color])


def dropped(
    user_id: str,
    group_column: str | None = None,
    exclusions: Sequence[str] = (),
    values: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """Why which items are not shown."""
    catalog = Shirts()
    rules = ItemRules(
        catalog=CurrentCatalog(catalog),
        blocked=MemoryBlockList(),
        exclusions=[RequestExclusion(parse_filter(one)) for one in exclusions],
        own_events=Bought(),
        group_column=group_column,
    )
    bound = rules.bind(RecommendationQuery(user_id, 3, filter_values=tuple(values)))
    reasons = {one: reason_to_drop(one, row, bound) for one, row in zip(IDS, catalog.rows(IDS), strict=True)}
    return {one: reason for one, reason in reasons.items() if reason is not None}


def test_what_a_user_bought_keeps_its_other_variants_out_of_this_users_answers() -> None:
    own = {IDS[0]: "bought", IDS[5]: "bought"}
    assert dropped("buyer") == own
    assert dropped("buyer", "color") == {**own, IDS[1]: "bought"}
    # A column that this version of the catalogue lacks groups nothing.
    assert dropped("buyer", "weight") == own
    assert dropped("other", "color") == {}


def test_the_exclusions_of_the_service_and_of_the_placement_hide_both() -> None:
    both = ("EXCLUDE ItemID WHERE Items.COLOR IN ($COLOR)", "EXCLUDE ItemID WHERE Items.PRICE > 3")
    blue = [("COLOR", "blue")]
    assert dropped("ann", exclusions=both[:1], values=blue) == dict.fromkeys(IDS[2:4], "excluded")
    assert dropped("ann", exclusions=both, values=blue) == dict.fromkeys(IDS[2:], "excluded")
