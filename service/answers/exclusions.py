"""The operator's exclusion where each request is decided by itself: it has placeholders, or asks what the user did.

Any other exclusion is decided once for each item, when the catalogue is loaded.
"""

from collections.abc import Callable, Iterable

from service.catalog.item import ITEM_COLUMNS, CatalogRow
from service.catalog.ports import ItemCatalog
from service.errors import InvalidQuery
from service.filters import Filter, FilterValueError, ItemPredicate, compile_item_exclusion


def columns_for(expression: Filter, catalog: ItemCatalog) -> list[str]:
    """What a filter over rendered items may ask for; of a catalogue without fixed columns, anything."""
    columns = [*ITEM_COLUMNS, *catalog.columns]
    if catalog.is_open:
        known = {name.casefold() for name in columns}
        columns += [field.name for field in expression.fields() if field.name.casefold() not in known]
    return list(dict.fromkeys(columns))


def compiled(expression: Filter, catalog: ItemCatalog) -> ItemPredicate:
    """A filter over rendered items, and over what a user did with them."""
    return compile_item_exclusion(
        expression, columns_for(expression, catalog), item_id="id" if expression.uses_interactions else None
    )


class RequestExclusion:
    """A filter expression over the catalogue's columns and the user's events, filled in by `filter_values`."""

    def __init__(self, expression: Filter) -> None:
        self._expression = expression
        self.uses_interactions = expression.uses_interactions
        """Whether it asks what the user did."""
        self._version = -1
        self._predicate: ItemPredicate | None = None

    def bind(
        self, catalog: ItemCatalog, values: Iterable[tuple[str, str]], interactions: Iterable[tuple[str, str]] = ()
    ) -> Callable[[CatalogRow], bool]:
        """The test whether an item may be shown to this request.

        Args:
            catalog: Where the items are from.
            values: Name and value of each placeholder.
            interactions: Item and event type of what the user did, the oldest first.

        Raises:
            InvalidQuery: A placeholder lacks the value that it needs, or has one that it cannot use.
        """
        if self._predicate is None or catalog.version != self._version:
            self._predicate = compiled(self._expression, catalog)
            self._version = catalog.version
        try:
            shows = self._predicate.bind(dict(values), interactions)
        except FilterValueError as error:
            raise InvalidQuery(f"filter_values.{error.placeholder}", str(error)) from error
        columns = catalog.columns

        def shows_row(row: CatalogRow) -> bool:
            return shows(row.values(columns))

        return shows_row
