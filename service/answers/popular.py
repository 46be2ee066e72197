"""The non-personalised list: curated items, then what was lately recommended most, then the catalogue."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from service.answers.categories import Categories
from service.answers.selection import Rules, Selection, select
from service.catalog.current import CurrentCatalog
from service.catalog.ports import ItemCatalog
from service.clock import Clock
from service.constants import MAX_NUM_RESULTS, PERSONALIZE_MAX_RESULTS, PIN_SECONDS
from service.lists.envelope import Envelope, seal
from service.models import ItemList

HALF_LIFE_LISTS = 5_000
"""After so many live lists a recommendation weighs half."""

COUNTED_RANKS = 10
"""Only what a message is likely to show counts as recommended."""

RECOUNT_SECONDS = PIN_SECONDS
"""The order is made anew so often at most, whatever the rate of live lists, and only where somebody is shown it."""

_FIRST = 1_000
_MAX_IDS = 20_000
_KEPT_IDS = 5_000
_MAX_ELIGIBLE = 1_000
_GROWTH = 2.0 ** (1.0 / HALF_LIFE_LISTS)


class PopularItems:
    """Learns from the live lists of this replica; its memory is bounded, and lost with the process.

    Args:
        curated: What the operator wants shown first.
        clock: By its monotonic time the order is made anew.
    """

    def __init__(self, curated: Sequence[str], clock: Clock) -> None:
        self._curated = tuple(dict.fromkeys(curated))
        self._clock = clock
        self._weights, self._weight = defaultdict[str, float](float), 1.0
        self._is_counted = True
        self._ranked_at = float("-inf")
        self._ranked: tuple[str, ...] = ()
        self._first_eligible: tuple[int, tuple[str, ...]] = (-1, ())
        self._first: tuple[tuple[str, ...], int, tuple[str, ...]] = ((), -1, ())
        self._categories: dict[str, Categories] = {}

    def learn(self, item_ids: Sequence[str]) -> None:
        """Count the head of a live list."""
        weights = self._weights
        for item_id in item_ids[:COUNTED_RANKS]:
            weights[item_id] += self._weight
        self._weight *= _GROWTH
        if self._weight > 1e100:  # noqa: PLR2004  # far from a float's end; only ratios matter
            for item_id in weights:
                weights[item_id] /= self._weight
            self._weight = 1.0
        if len(weights) > _MAX_IDS:
            least = sorted(weights.values())[-_KEPT_IDS]
            self._weights = defaultdict(float, {one: weight for one, weight in weights.items() if weight >= least})
        self._is_counted = False

    def ids(self, catalog: ItemCatalog) -> Iterator[str]:
        """Best first, with repetitions, and on to the end of the catalogue; take as many as you need."""
        yield from self._curated
        yield from self._best()
        yield from self._eligible(catalog)
        yield from catalog.first_ids()

    def first(self, catalog: ItemCatalog) -> tuple[str, ...]:
        """The first of `ids`, each once, a thousand; the same object as long as they are the same."""
        best = self._best()
        if self._first[0] is not best or self._first[1] != catalog.version:
            found = dict.fromkeys(islice(self.ids(catalog), 2 * _FIRST))
            self._first = best, catalog.version, tuple(islice(found, _FIRST))
        return self._first[2]

    def curated_in(self, catalog: ItemCatalog, shown: Sequence[str]) -> list[str]:
        """The curated items that are shown, and those that a catalogue elsewhere has to be asked for first."""
        wanted = {*shown, *catalog.missing(self._curated)}
        return [item_id for item_id in self._curated if item_id in wanted]

    def ids_like(self, item_id: str, column: str, catalog: ItemCatalog) -> Iterator[str]:
        """As `ids`, but first those that have the item's value in a column of the catalogue."""
        categories = self._categories.setdefault(column, Categories(column))
        yield from categories.like(item_id, (*self._curated, *self._best()), catalog)
        yield from self.ids(catalog)

    def _eligible(self, catalog: ItemCatalog) -> tuple[str, ...]:
        # Once per version of the catalogue: an answer cannot look at all that an exclusion keeps out.
        if self._first_eligible[0] != catalog.version:
            candidates = iter(catalog.first_ids())
            found: list[str] = []
            while len(found) < _MAX_ELIGIBLE and (chunk := list(islice(candidates, _MAX_ELIGIBLE))):
                rows = catalog.rows(chunk)
                found += [one for one, row in zip(chunk, rows, strict=True) if row is not None and row.eligible]
            self._first_eligible = catalog.version, tuple(found[:_MAX_ELIGIBLE])
        return self._first_eligible[1]

    def _best(self) -> tuple[str, ...]:
        """What is recommended most, best first."""
        if not self._is_counted and (now := self._clock.monotonic()) - self._ranked_at >= RECOUNT_SECONDS:
            self._is_counted, self._ranked_at = True, now
            weights, least = self._weights, 0.0
            # Weights only grow: nothing that weighs less than the last of the best so far has come to be one of them.
            if len(self._ranked) == PERSONALIZE_MAX_RESULTS:
                least = min(weights.get(item_id, 0.0) for item_id in self._ranked)
            best = sorted(((one, item_id) for item_id, one in weights.items() if one >= least), reverse=True)
            self._ranked = tuple(item_id for _, item_id in best[:PERSONALIZE_MAX_RESULTS])
        return self._ranked


class PopularLists:
    """The popular list as an envelope, made anew every few seconds; its bytes are shared by all users."""

    def __init__(self, popular: PopularItems, catalog: CurrentCatalog, clock: Clock) -> None:
        self._popular = popular
        self._catalog = catalog
        self._clock = clock
        self._made_at = float("-inf")
        self._version = -1
        self._envelope: Envelope | None = None

    def envelope(self) -> Envelope | None:
        """The list; None when the catalogue is empty."""
        now = self._clock.monotonic()
        catalog = self._catalog.snapshot
        if now - self._made_at > PIN_SECONDS or catalog.version != self._version:
            self._made_at, self._version = now, catalog.version
            selection = Selection()
            rules = Rules(catalog=catalog, exclude=(), blocked=())
            select(selection, self._popular.ids(catalog), rules, MAX_NUM_RESULTS)
            # A curated item that has not been fetched for a while is fetched only if it stands in the list.
            first = self._popular.curated_in(catalog, selection.shown)
            ids = tuple(dict.fromkeys([*first, *selection.shown]))[:MAX_NUM_RESULTS]
            self._envelope = seal(ItemList(ids, "", self._clock.time())) if ids else None
        return self._envelope
