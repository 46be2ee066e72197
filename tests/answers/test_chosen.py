"""What was chosen of a list holds as long as nothing changes that it depends on, and goes where its list goes."""

import math
from collections.abc import Sequence

import pytest

from service.answers import arranged, chosen
from service.answers.arranged import ArrangedItems
from service.answers.arrangement import Arrangement, ArrangementTerms, Pin
from service.answers.popular import PopularItems
from service.answers.ports import NoEvents
from service.answers.ready import EMPTY_SECONDS, READY_BYTES, ReadyItems
from service.answers.rules import ItemRules
from service.catalog.current import CurrentCatalog
from service.catalog.item import CatalogRow
from service.filters import parse_filter
from service.lists.envelope import seal
from service.lists.numbers import GivenItems, ItemNumbers, NumberedList, numbered
from service.lists.ports import Outcome
from service.models import ItemList, RecommendationQuery
from tests.answers.test_ready import BUYER, ENDS, IDS, Change, World
from tests.support.clocks import StandingClock
from tests.support.fakes import FakeCatalog, MemoryBlockList

TWO_OF_A_KIND = ArrangementTerms(max_per={"kind": 2})
OF_ONE_KIND = tuple(IDS[::4])
"""Items of which two may be shown, so that popular ones fill up a list of them."""


class Lists:
    """Lists in memory, which are asked for again and again."""

    def __init__(self, terms: ArrangementTerms) -> None:
        self.world = World(terms, "recommendations", None, 10_000_000, top_up=True)
        self._kept: dict[tuple[str, ...], NumberedList] = {}

    def ask(self, listed: Sequence[str], wanted: int = 4, user_id: str = "u") -> tuple[list[str], bool]:
        """What an answer shows, and whether it is what was chosen before."""
        key = tuple(listed)
        kept = self._kept.get(key) or numbered(seal(ItemList(key, "RID", 0.0)), self.world.numbers)
        assert kept is not None
        joined = self.world.joined.join(RecommendationQuery(user_id, wanted), user_id, kept)
        assert joined is not None
        self._kept[key] = joined[-1] or kept
        return [self.world.numbers.ids[number] for number in joined[1]], joined[2] is None

    def beside(self, terms: ArrangementTerms) -> "Lists":
        """Another placement that shows the same lists."""
        other = Lists(terms)
        other.world.numbers, other._kept = self.world.numbers, self._kept
        return other

    def size(self, listed: Sequence[str]) -> int:
        """Bytes of a list."""
        return len(self._kept[tuple(listed)])


@pytest.fixture
def lists() -> Lists:
    """With two of a kind at most."""
    return Lists(TWO_OF_A_KIND)


def test_the_second_answer_shows_what_was_chosen_for_the_first(lists: Lists) -> None:
    assert lists.ask(IDS[:12]) == (IDS[:4], False)
    assert lists.ask(IDS[:12]) == (IDS[:4], True)


def test_an_item_that_is_no_longer_blocked_is_shown_again(lists: Lists) -> None:
    lists.world.change(Change(blocked=frozenset(IDS[:1])))
    assert lists.ask(IDS[:12]) == (IDS[1:5], False)
    lists.world.change(Change(blocked=frozenset()))
    # Another list has made ready all that was chosen of the first.
    lists.ask(IDS[1:13])

    assert lists.ask(IDS[:12]) == (IDS[:4], False)


def test_a_reload_of_the_catalogue_chooses_anew(lists: Lists) -> None:
    lists.world.change(Change(catalog=frozenset(IDS[1:])))
    assert lists.ask(IDS[:12])[0] == IDS[1:5]
    lists.world.change(Change(catalog=frozenset(IDS)))
    lists.ask(IDS[1:13])

    assert lists.ask(IDS[:12]) == (IDS[:4], False)


def test_a_pin_that_ends_frees_its_place() -> None:
    starts = 1_700_000_000.0
    lists = Lists(ArrangementTerms(pins=(Pin(IDS[20], 1, starts + ENDS),)))
    pinned = [IDS[20], *IDS[:3]]
    assert lists.ask(IDS[:12]) == (pinned, False)
    assert lists.ask(IDS[:12]) == (pinned, True)
    size = lists.size(IDS[:12])

    lists.world.change(Change(seconds=ENDS))

    assert lists.ask(IDS[:12]) == (IDS[:4], False)
    assert lists.ask(IDS[:12]) == (IDS[:4], True)
    assert lists.size(IDS[:12]) == size


def test_rules_of_two_placements_keep_a_choice_each_with_the_same_list(lists: Lists) -> None:
    pinned = lists.beside(ArrangementTerms(pins=(Pin(IDS[20], 1, float("inf")),)))
    for _ in range(2):
        lists.ask(IDS[:12])
        pinned.ask(IDS[:12])

    assert lists.ask(IDS[:12]) == (IDS[:4], True)
    assert pinned.ask(IDS[:12]) == ([IDS[20], *IDS[:3]], True)


def test_other_popular_items_fill_up_every_list_anew(lists: Lists) -> None:
    others = OF_ONE_KIND[1:]
    before = lists.ask(OF_ONE_KIND)
    lists.ask(others)
    assert lists.ask(OF_ONE_KIND) == (before[0], True)

    lists.world.change(Change(learned=(IDS[3], IDS[7]), seconds=60.0))
    # Popular are what the operator wants first, and then what was recommended.
    filled = [*lists.ask(OF_ONE_KIND)[0][2:]]

    assert lists.ask(others) == ([*others[:2], *filled], False)
    lists.world.change(Change(learned=(IDS[2], IDS[6], IDS[3]), seconds=60.0))
    lists.ask(OF_ONE_KIND)
    assert not lists.ask(others)[1]


def test_answers_of_two_lengths_keep_a_choice_each(lists: Lists) -> None:
    for wanted in (3, 4, 3, 4):
        lists.ask(IDS[:12], wanted)

    assert lists.ask(IDS[:12], 3) == (IDS[:3], True)
    assert lists.ask(IDS[:12], 4) == (IDS[:4], True)


def test_a_buyer_is_shown_what_others_are_until_it_is_bought(lists: Lists) -> None:
    lists.ask(IDS[:12])
    lists.world.change(Change(bought=frozenset(IDS[20:])))

    assert lists.ask(IDS[:12], user_id="buyer") == (IDS[:4], False)
    assert lists.ask(IDS[:12]) == (IDS[:4], True)


def test_reload_after_reload_a_list_takes_no_more_memory(lists: Lists) -> None:
    lists.ask(IDS[:12])
    size = lists.size(IDS[:12])

    for _ in range(5):
        lists.world.change(Change(catalog=frozenset(IDS)))
        lists.ask(IDS[:12])

    assert lists.size(IDS[:12]) == size


def test_numbers_beyond_two_bytes_are_kept(lists: Lists) -> None:
    lists.world.numbers.of([f"x{number}" for number in range(70_000)])
    assert lists.ask(IDS[:12]) == (IDS[:4], False)

    assert lists.ask(IDS[:12]) == (IDS[:4], True)


class SortedShop(FakeCatalog):
    """Hundreds of items of each kind, one kind behind the other."""

    def __init__(self, kinds: int) -> None:
        super().__init__([f"i{number}" for number in range(kinds * 300)], columns=("kind",))
        for number, item_id in enumerate(self._rows):
            item = {"id": item_id, "url": "u", "name": "n", "price": 1.0, "image": "i"}
            self._rows[item_id] = CatalogRow.from_values(item, [f"kind{number // 300}"])


def test_a_catalogue_that_is_sorted_by_kind_fills_up_a_list_of_one_kind() -> None:
    shop, clock, numbers = SortedShop(4), StandingClock(), ItemNumbers()
    rules = ItemRules(catalog=CurrentCatalog(shop), blocked=MemoryBlockList(), own_events=NoEvents())
    items = ArrangedItems(rules, lambda: numbers, clock, 10**7, arrangement=Arrangement(TWO_OF_A_KIND))
    kept = numbered(seal(ItemList(("i7", "i8", "i9"), "RID", 0.0)), numbers)
    assert kept is not None
    popular = PopularItems((), clock)

    joined = items.join(kept, 6, lambda: popular.first(shop))

    assert joined is not None
    assert items.ids_of(joined[1]) == ["i7", "i8", "i300", "i301", "i600", "i601"]


def test_a_ranking_is_what_was_chosen_before_unless_its_user_has_bought_of_it() -> None:
    cheap_ones_last = ArrangementTerms(bury=parse_filter("INCLUDE ItemID WHERE Items.PRICE < 2"))
    world = World(cheap_ones_last, "ranking", None, max_bytes=10_000_000, top_up=True)
    ranked, given = [*reversed(IDS[:5])], GivenItems(IDS[:5])
    kept = numbered(seal(ItemList(tuple(IDS[:5]), "RID", 0.0)), world.numbers)
    assert kept is not None

    def ask(user_id: str) -> tuple[list[str], bool] | None:
        """What is shown, and whether it was chosen before; None where it is made item by item."""
        nonlocal kept
        assert kept is not None
        query = RecommendationQuery(user_id, 5, kind="ranking", item_ids=tuple(ranked))
        joined = world.joined.join(query, user_id, kept, given)
        if joined is None:
            return None
        kept = joined[-1] or kept
        return [world.numbers.ids[number] for number in joined[1]], joined[2] is None

    shown = [*IDS[2:5], *IDS[:2]]
    assert [ask("u"), ask("u")] == [(shown, False), (shown, True)]
    world.change(Change(bought=frozenset(IDS[20:])))
    assert [ask(BUYER), ask("u")] == [(shown, False), (shown, True)]
    world.change(Change(bought=frozenset(IDS[3:4])))
    assert [ask(BUYER), ask("u")] == [None, (shown, True)]


def test_tags_are_given_anew_when_they_are_used_up_and_none_when_there_is_none_left(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "TAGS_EACH", 2)
    for number in range(4):
        # Each length of an answer takes a tag.
        assert lists.ask(IDS[:12], number + 2) == (IDS[: number + 2], False)
        assert lists.ask(IDS[:12], number + 2) == (IDS[: number + 2], True)
    monkeypatch.setattr(chosen, "MAX_CHOOSERS", next(lists.world.numbers.choosers) + 1)
    for _ in range(2):
        assert lists.ask(IDS[:12], 6) == (IDS[:6], False)


def test_of_too_many_different_choices_all_are_forgotten(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "MAX_KNOWN", 2)
    for wanted, before in [(2, False), (3, False), (2, True), (3, True), (4, False), (3, False), (4, True)]:
        assert lists.ask(IDS[:12], wanted) == (IDS[:wanted], before)


def test_fragments_are_looked_for_in_the_list_for_as_long_as_something_is_dropped() -> None:
    shop, clock, numbers = FakeCatalog([f"i{number}" for number in range(400)]), StandingClock(), ItemNumbers()
    shop.change(ineligible=[f"i{number}" for number in range(400) if number not in (9, 19, 200, 399)])
    rules = ItemRules(catalog=CurrentCatalog(shop), blocked=MemoryBlockList(), own_events=NoEvents())
    items = ReadyItems(rules, lambda: numbers, clock, 10**7)
    kept = numbered(seal(ItemList(tuple(f"i{number}" for number in range(400)), "RID", 0.0)), numbers)
    assert kept is not None
    for wanted, shown, examined in [(1, ["i9"], 10), (2, ["i9", "i19"], 20), (4, ["i9", "i19", "i200", "i399"], 400)]:
        joined = items.join(kept, wanted)
        assert joined is not None
        assert (items.ids_of(joined[1]), joined[3], joined[4]) == (shown, (("excluded", examined - wanted),), examined)
        assert joined[-1] is not None
        again = items.join(joined[-1], wanted)
        # What is chosen before is not looked for again.
        assert again == (joined[0], tuple(joined[1]), None, *joined[3:6], None)
    assert items.join(kept, 5) is None


def test_fragments_never_take_more_than_allowed() -> None:
    """Also where one is larger than all of them may be."""
    clock, numbers = StandingClock(), ItemNumbers()
    rules = ItemRules(catalog=CurrentCatalog(FakeCatalog(IDS)), blocked=MemoryBlockList(), own_events=NoEvents())
    items = ReadyItems(rules, lambda: numbers, clock, 10)
    kept = numbered(seal(ItemList(tuple(IDS), "RID", 0.0)), numbers)
    assert kept is not None
    for clock.now in (0.0, EMPTY_SECONDS, 2 * EMPTY_SECONDS):
        assert items.join(kept, 1) is None
        assert items.bytes == 0


@pytest.mark.parametrize("lacking", [1.0, 0.001])
def test_all_fragments_make_room_once_a_minute(lacking: float) -> None:
    clock, numbers = StandingClock(), ItemNumbers()
    catalog = FakeCatalog(IDS)
    [row] = catalog.rows(IDS[:1])
    assert row is not None
    size = len(row.fragment) + READY_BYTES
    rules = ItemRules(catalog=CurrentCatalog(catalog), blocked=MemoryBlockList(), own_events=NoEvents())
    # For a third one there is no room at all, or a byte is lacking.
    items = ReadyItems(rules, lambda: numbers, clock, 3 * size - math.ceil(size * lacking))
    of_each = [numbered(seal(ItemList((one,), "RID", 0.0)), numbers) for one in IDS[:3]]

    def ready() -> list[bool]:
        return [kept is not None and items.join(kept, 1) is not None for kept in of_each]

    assert items.bytes == 0
    assert ready() == [True, True, False]
    assert items.bytes == 2 * size
    clock.now = EMPTY_SECONDS - 0.1
    assert ready() == [True, True, False]
    clock.now = EMPTY_SECONDS
    assert ready() == [True, True, True]
    # The third has made room, and another comes beside it.
    assert items.bytes == size
    assert ready() == [True, False, True]
    # Where there is room for one, the next has it a minute later.
    items = ReadyItems(rules, lambda: numbers, clock, size)
    assert ready() == [True, False, False]
    clock.now += EMPTY_SECONDS
    assert ready() == [True, True, False]


def test_a_pinned_item_that_is_of_the_list_stands_at_its_place_only_and_counts_as_kept() -> None:
    lists = Lists(ArrangementTerms(pins=(Pin(IDS[2], 1, float("inf")), Pin(IDS[20], 3, float("inf")))))
    assert lists.ask(IDS[:12])[0] == [IDS[2], IDS[0], IDS[20], IDS[1]]
    assert lists.world.length.learned == [(4, 2, 4)]
    outcome = Outcome(seal(ItemList(tuple(IDS[:12]), "RID", 0.0)), "cache")
    lists.world.assembly.answer(RecommendationQuery("u", 4), outcome)
    assert lists.world.length.learned == [(4, 2, 4)] * 2
    assert lists.ask(IDS[:2], 2)[0] == [IDS[2], IDS[0]]


def test_a_list_of_which_nothing_is_dropped_is_kept_as_it_is() -> None:
    lists = Lists(ArrangementTerms())
    assert [lists.ask(IDS[:12]), lists.ask(IDS[:12])] == [(IDS[:4], False)] * 2
    size = lists.size(IDS[:12])
    lists.world.change(Change(blocked=frozenset(IDS[:1])))
    assert [lists.ask(IDS[:12]), lists.ask(IDS[:12])] == [(IDS[1:5], False), (IDS[1:5], True)]
    assert lists.size(IDS[:12]) > size


def test_pins_are_known_for_so_many_lengths_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arranged, "MAX_STANDING", 2)
    lists = Lists(ArrangementTerms(pins=(Pin(IDS[20], 2, float("inf")),)))
    ready = lists.world.joined._ready
    assert isinstance(ready, ArrangedItems)
    for wanted, known in [(2, 1), (3, 2), (3, 2), (4, 1), (3, 2)]:
        assert lists.ask(IDS[:12], wanted)[0] == [IDS[0], IDS[20], *IDS[1 : wanted - 1]]
        lists._kept.clear()
        assert len(ready._standing) == known


def test_pinned_items_count_among_those_of_their_kind_both_ways() -> None:
    pins = tuple(Pin(IDS[4 * place], place + 1, float("inf")) for place in range(3))
    lists = Lists(ArrangementTerms(pins=pins, max_per={"kind": 2}))
    # Of the first kind there is room for two.
    expected = [IDS[0], IDS[4], IDS[1], IDS[2]]
    assert lists.ask(IDS[:12])[0] == expected
    outcome = Outcome(seal(ItemList(tuple(IDS[:12]), "RID", 0.0)), "cache")
    assert list(lists.world.assembly.answer(RecommendationQuery("u", 4), outcome).shown) == expected


def test_a_ranking_shows_no_more_of_the_given_items_than_are_wanted() -> None:
    world = World(ArrangementTerms(), "ranking", None, max_bytes=10_000_000, top_up=True)
    kept = numbered(seal(ItemList(tuple(IDS[:5]), "RID", 0.0)), world.numbers)
    assert kept is not None
    for wanted in (5, 3):
        query = RecommendationQuery("u", wanted, kind="ranking", item_ids=tuple(reversed(IDS[:5])))
        joined = world.joined.join(query, "u", kept, GivenItems(query.item_ids))
        assert joined is not None
        assert [world.numbers.ids[number] for number in joined[1]] == IDS[:wanted]
