"""Answers joined by items' numbers are those that the rules make item by item, whatever the rules are and become."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import count

import pytest
from hypothesis import Phase, event, given
from hypothesis import strategies as st

from service.answers.arranged import ArrangedItems
from service.answers.arrangement import Arrangement, ArrangementTerms, Pin
from service.answers.assembly import Assembly
from service.answers.exclusions import RequestExclusion
from service.answers.popular import PopularItems
from service.answers.ports import NoEvents
from service.answers.ready import READY_BYTES, ReadyItems
from service.answers.rules import ItemRules
from service.answers.terms import AssemblyTerms
from service.catalog.current import CurrentCatalog
from service.catalog.item import CatalogRow
from service.filters import parse_filter
from service.lists.envelope import Envelope, seal
from service.lists.numbers import GivenItems, ItemNumbers, NumberedList, numbered
from service.lists.ports import Outcome
from service.models import ItemList, RecommendationQuery, RequestKind
from service.personalize.list_length import ListLength
from service.settings.placements import PlacementTerms
from tests.support.clocks import StandingClock
from tests.support.examples import examples
from tests.support.fakes import FakeCatalog, MemoryBlockList
from tests.support.replica import ARN, open_replica
from tests.support.virtual_time import run_virtual

IDS = [f"i{n}" for n in range(24)]
KINDS = ("tea", "pan", "mug", None)
ENDS = 50.0
"""When the pins are over that have an end."""

AGE = 30.0
"""Seconds, of each list."""

BUYER = "buyer"
STEPS = 40


class Shop(FakeCatalog):
    """Items of few kinds and colours, some of none."""

    def __init__(self, numbers: Iterator[int]) -> None:
        super().__init__(IDS, columns=("kind", "colour"))
        self._numbers = numbers
        self.renew(frozenset(IDS), frozenset())

    def renew(self, ids: frozenset[str], hidden: frozenset[str]) -> None:
        """Another version."""
        self._rows = {one: _row(one, eligible=one not in hidden) for one in IDS if one in ids}
        self._version = next(self._numbers)


def _row(item_id: str, *, eligible: bool) -> CatalogRow:
    number = IDS.index(item_id)
    item = {"id": item_id, "url": "u", "name": "n", "price": float(number), "image": "i"}
    extras = [KINDS[number % 4], "red" if number % 3 else None]
    return CatalogRow(json.dumps(item).encode(), json.dumps(extras).encode(), eligible)


class Bought(NoEvents):
    """One user has bought something."""

    bought: frozenset[str] = frozenset()

    def items(self, user_id: str) -> frozenset[str]:
        return self.bought if user_id == BUYER else frozenset()


class WrittenLength(ListLength):
    """Writes down what it is asked to learn."""

    def __init__(self) -> None:
        super().__init__(StandingClock())
        self.learned: list[tuple[int, int, int]] = []

    def observe(self, *, asked: int, examined: int, kept: int) -> None:
        self.learned.append((asked, examined, kept))


@dataclass(frozen=True)
class Change:
    """What happens to a replica between two answers."""

    catalog: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()
    blocked: frozenset[str] | None = None
    bought: frozenset[str] | None = None
    seconds: float = 0.0
    renumber: bool = False
    learned: tuple[str, ...] = ()
    """Of a live list."""


@dataclass(frozen=True)
class Asked:
    listed: tuple[str, ...]
    wanted: int
    user_id: str
    given: tuple[str, ...]
    item_id: str


@dataclass
class World:
    """One arm, with its joined way, and its other one."""

    terms: ArrangementTerms
    kind: RequestKind
    exclusion: str | None
    max_bytes: int
    top_up: bool
    versions: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.clock, self.blocked, self.events = StandingClock(), MemoryBlockList(), Bought()
        self.shop, self.numbers, self.length = Shop(self.versions), ItemNumbers(), WrittenLength()
        self.popular = PopularItems(IDS[20:22], self.clock)
        self.kept: dict[Asked, NumberedList] = {}
        """Lists as memory has them, with what was chosen of them."""
        catalog = CurrentCatalog(self.shop)
        rules = ItemRules(
            catalog=catalog,
            blocked=self.blocked,
            exclusions=[RequestExclusion(parse_filter(self.exclusion))] if self.exclusion else [],
            own_events=self.events,
        )
        arrangement = Arrangement(self.terms)
        assert arrangement.same_for_all
        numbers: Callable[[], ItemNumbers] = lambda: self.numbers  # noqa: E731  # as the wiring does it
        ready: ReadyItems = ReadyItems(rules, numbers, self.clock, self.max_bytes)
        if not arrangement.changes_nothing:
            ready = ArrangedItems(rules, numbers, self.clock, self.max_bytes, arrangement=arrangement)
        self.assembly = Assembly(
            clock=self.clock,
            rules=rules,
            arrangement=arrangement,
            popular=self.popular,
            length=self.length,
            terms=AssemblyTerms("a", None, self.kind, self.top_up, None),
            ready=ready,
        )
        assert self.assembly.joined is not None
        self.joined = self.assembly.joined

    def change(self, change: Change) -> None:
        if change.catalog is not None:
            self.shop.renew(change.catalog, change.hidden)
        if change.blocked is not None:
            self.blocked.replace(change.blocked)
        if change.bought is not None:
            self.events.bought = change.bought
        if change.renumber:
            self.numbers = ItemNumbers(self.numbers.series + 1)
            self.kept.clear()
        self.popular.learn(change.learned)
        self.clock.now += change.seconds

    def compare(self, asked: Asked) -> None:
        """Both ways, one after the other."""
        query = RecommendationQuery(asked.user_id, asked.wanted, kind=self.kind)
        given = None
        if self.kind == "ranking":
            query = RecommendationQuery(asked.user_id, asked.wanted, kind=self.kind, item_ids=asked.given)
            given = GivenItems(asked.given)
        elif self.kind == "similar-items":
            query = RecommendationQuery(asked.user_id, asked.wanted, kind=self.kind, item_id=asked.item_id)
        envelope: Envelope = seal(ItemList(asked.listed, "RID", self.clock.time() - AGE, frozenset(asked.listed[::3])))
        # The same list for all lengths of answers and all users, in whatever order a caller gives the items to rank.
        key = replace(asked, wanted=0, user_id="", given=tuple(sorted(asked.given)))
        kept = self.kept.get(key) or numbered(envelope, self.numbers)
        assert kept is not None
        self.length.learned.clear()
        joined = self.joined.join(query, asked.user_id, kept, given)
        if joined is not None:
            was_chosen = joined[2] is None
            event(f"joined as before: {was_chosen}")
            # Twice: an answer leaves nothing behind that changes the next one, but for what was chosen.
            self.kept[key] = joined[-1] or kept
            again = self.joined.join(query, asked.user_id, self.kept[key], given)
            assert again is not None
            assert (again[0], *again[1], again[3]) == (joined[0], *joined[1], joined[3])
        learned = self.length.learned[: len(self.length.learned) // 2]
        self.length.learned.clear()
        answer = self.assembly.answer(query, Outcome(envelope, "cache"))
        is_full = answer.source == "cache" and answer.degraded_reason is None
        if joined is None:
            concerns = bool(self.events.items(asked.user_id)) or asked.item_id in asked.listed
            # The item may be popular, or pinned.
            concerns |= self.kind == "similar-items" and asked.item_id in IDS
            assert not is_full or concerns or self.max_bytes < 10_000
            event("not joined")
            return
        event("joined")
        body, _, _, dropped, *_ = joined
        assert is_full
        assert body == answer.body
        if self.exclusion is None:
            # Item by item, what is known to be excluded counts even behind the last item shown.
            assert sorted(dropped) == sorted(answer.dropped)
            assert learned == self.length.learned
        if given is None:
            found = self.joined.answer(query, "cache", envelope, self.kept[key], ())
            assert found is not None
            whole, _ = found
            assert whole.dropped == dropped
            if self.exclusion is None:
                assert set(whole.promoted) == set(answer.promoted)
            assert replace(whole, dropped=(), promoted=()) == replace(answer, dropped=(), promoted=())


_pins = st.lists(
    st.builds(
        Pin,
        st.sampled_from([*IDS, "gone"]),
        st.integers(1, 8),
        st.sampled_from([StandingClock().time() + ENDS, float("inf")]),
    ),
    min_size=1,
    max_size=3,
    unique_by=(lambda pin: pin.slot, lambda pin: pin.item_id),
).map(tuple)
_filters = st.sampled_from(
    [None, "INCLUDE ItemID WHERE Items.PRICE < 8", 'INCLUDE ItemID WHERE Items.KIND IN ("mug")']
).map(lambda text: parse_filter(text) if text else None)
_bounds = st.one_of(
    st.none(),
    st.fixed_dictionaries({"kind": st.integers(1, 3)}),
    st.fixed_dictionaries({"kind": st.integers(1, 3), "colour": st.integers(1, 5)}),
)
_terms = st.builds(ArrangementTerms, pins=_pins | st.just(()), max_per=_bounds, boost=_filters, bury=_filters)


def _steps(rng: random.Random) -> Iterator[Asked | Change]:
    """What happens to a replica; drawn one by one it would take ten times as long."""

    def some(most: int) -> frozenset[str]:
        return frozenset(rng.sample(IDS, rng.randint(0, most)))

    again: list[Asked] = []
    for _ in range(STEPS):
        if again and rng.random() < 0.5:
            asked = rng.choice(again)
            given = rng.sample(asked.given, len(asked.given))
            wanted, user_id = rng.choice([asked.wanted, asked.wanted, 4]), rng.choice(["u", "u", BUYER])
            yield replace(asked, given=tuple(given), wanted=wanted, user_id=user_id)
        elif rng.random() < 0.1:
            yield Change(seconds=ENDS)
        elif rng.random() < 0.2:
            yield Change(
                catalog=rng.choice([None, frozenset(IDS) - some(8)]),
                hidden=some(8),
                blocked=rng.choice([None, some(4)]),
                bought=rng.choice([None, some(3)]),
                renumber=rng.random() < 0.3,
                learned=tuple(rng.sample(IDS, 5)),
            )
        else:
            asked = Asked(
                listed=tuple(rng.sample([*IDS, "gone"], rng.randint(0, len(IDS)))),
                wanted=rng.choice([3, 5, rng.randint(1, 8)]),
                user_id=rng.choice(["u", "u", BUYER]),
                given=tuple(rng.sample([*IDS, "gone", "nowhere"], rng.randint(1, 12))),
                item_id=rng.choice(["", "away", *IDS[:2]]),
            )
            again.append(asked)
            yield asked


@pytest.mark.parametrize("kind", ["recommendations", "similar-items", "ranking"])
@examples(20, phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))
@given(
    terms=_terms,
    exclusion=st.sampled_from([None, None, "EXCLUDE ItemID WHERE Items.PRICE > 15"]),
    max_bytes=st.sampled_from([10_000_000, 10_000_000, 6 * (100 + READY_BYTES)]),
    top_up=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_an_answer_that_is_joined_is_the_one_that_the_rules_make(
    *,
    terms: ArrangementTerms,
    kind: RequestKind,
    exclusion: str | None,
    max_bytes: int,
    top_up: bool,
    seed: int,
) -> None:
    world = World(terms, kind, exclusion, max_bytes, top_up)
    for step in _steps(random.Random(seed)):
        if isinstance(step, Change):
            world.change(step)
        else:
            world.compare(step)


def test_a_query_is_plain_unless_it_asks_for_something_about_the_answer() -> None:
    asked = RecommendationQuery("ann", 10)

    names = {one.name for one in fields(RecommendationQuery)}
    plain = {name for name in names if replace(asked, **{name: "something"}).is_plain}  # type: ignore[arg-type]  # any word is something

    assert plain | {"exclude", "fields", "send", "rotate", "attribution", "because_of_item", "answer_format"} == names
    assert plain == {
        *("user_id", "num_results", "filter_values", "kind", "placement", "item_id", "names_item", "item_ids"),
        *("context", "sender"),
    }


@pytest.mark.parametrize(
    ("rules", "is_open", "is_joined"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"exclusion_filter": "EXCLUDE ItemID WHERE Items.PRICE > 5"}, False, True),
        ({"exclusion_filter": "EXCLUDE ItemID WHERE Items.PRICE > $MOST"}, False, False),
        ({"exclusion_filter": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'}, False, False),
        ({"boost": "INCLUDE ItemID WHERE Items.PRICE > 5"}, False, True),
        ({"bury": 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")'}, False, False),
    ],
)
def test_answers_are_joined_where_items_are_shown_to_all_alike(
    rules: dict[str, str], *, is_open: bool, is_joined: bool
) -> None:
    async def run() -> None:
        catalog = FakeCatalog(IDS)
        catalog.is_open = is_open
        terms = PlacementTerms.model_validate({"campaign_arn": ARN, "tps": 1.0, **rules})
        async with open_replica(catalog=catalog, placements={"a": terms}) as replica:
            assert (replica.arm.assembly.joined is not None) == is_joined

    run_virtual(run())
