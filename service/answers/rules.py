"""What may be shown to a request: the active catalogue, the block list, and the operator's exclusion."""

from collections.abc import Callable, Collection, Sequence

from cachetools import LRUCache

from service.answers.exclusions import MAX_VALUES, BoundExclusion, RequestExclusion, all_of
from service.answers.ports import OwnEvents
from service.answers.rendering import check_fields
from service.answers.selection import Rules
from service.catalog.current import CurrentCatalog
from service.catalog.item import CatalogRow
from service.catalog.ports import BlockList, ItemCatalog
from service.models import RecommendationQuery


class ItemRules:
    """Binds the rules of this moment to a request.

    Args:
        catalog: Holds the active catalogue.
        blocked: Items that an operator took out of every answer.
        exclusions: The operator's exclusions that the catalogue has not applied already: the placement's own, and the
            service's where requests fill its placeholders.
        own_events: What users did.
        group_column: Catalogue column of variants: a user's event about one keeps all of them out.
    """

    def __init__(
        self,
        *,
        catalog: CurrentCatalog,
        blocked: BlockList,
        exclusions: Sequence[RequestExclusion] = (),
        own_events: OwnEvents,
        group_column: str | None = None,
    ) -> None:
        self._catalog = catalog
        self._blocked = blocked
        self._exclusions = tuple(exclusions)
        self._together: LRUCache[tuple[BoundExclusion, ...], BoundExclusion] = LRUCache(MAX_VALUES)
        self._group_column = group_column
        self.own_events = own_events
        """What the user's own events keep out of the user's answers."""

    @property
    def version(self) -> int:
        """Changes whenever an answer rendered before could now be different."""
        return self._catalog.snapshot.version + self._blocked.version

    @property
    def same_for_all(self) -> bool:
        """Whether the catalogue and the exclusions say the same of an item to every request, for one version."""
        return not self._catalog.snapshot.is_open and all(one.same_for_all for one in self._exclusions)

    @property
    def knows_variants(self) -> bool:
        """Whether a user's event about an item keeps out others than the item itself."""
        return self._group_column is not None

    @property
    def catalog(self) -> ItemCatalog:
        """The active catalogue."""
        return self._catalog.snapshot

    def check(self, query: RecommendationQuery) -> None:
        """Refuse what only the catalogue can tell is wrong, before anything is spent on it.

        Raises:
            InvalidQuery: `fields` names a column that the catalogue lacks, or the exclusion lacks a value.
        """
        catalog = self._catalog.snapshot
        check_fields(query, catalog)
        for exclusion in self._exclusions:
            exclusion.bind(catalog, query.filter_values)

    def interactions(self, query: RecommendationQuery) -> Sequence[tuple[str, str]]:
        """Item and event type of what the query's user did, the oldest first."""
        return self.own_events.interactions(query.user_id)

    def bind(self, query: RecommendationQuery) -> Rules:
        """The rules for this request, over one snapshot of the catalogue."""
        catalog = self._catalog.snapshot
        done = self.interactions(query) if any(one.uses_interactions for one in self._exclusions) else ()
        bound = [exclusion.bind(catalog, query.filter_values, done) for exclusion in self._exclusions]
        exclusion = bound[0] if bound else None
        if len(bound) > 1:
            exclusion = self._together.get(tuple(bound))
            if exclusion is None:
                exclusion = self._together[tuple(bound)] = all_of(bound)
        bought = self.own_events.items(query.user_id)
        return Rules(
            catalog=catalog,
            exclude=query.exclude | {query.item_id} if query.item_id else query.exclude,
            blocked=self._blocked,
            exclusion=exclusion,
            bought=bought,
            like_bought=self._like(bought, catalog) if bought else None,
        )

    def _like(self, item_ids: Collection[str], catalog: ItemCatalog) -> Callable[[CatalogRow], bool] | None:
        """A test whether a row is in a group of these items; None if they have none.

        An item that the catalogue does not hold here has no group.
        """
        column, columns = self._group_column, catalog.columns
        if column is None or column not in columns:
            return None
        place = list(columns).index(column)
        rows = catalog.rows(list(item_ids))
        groups = {row.further_value(place) for row in rows if row is not None} - {None, ""}
        return (lambda row: row.further_value(place) in groups) if groups else None
