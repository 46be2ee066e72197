"""The operator's exclusion without placeholders: decided once for each row, when the catalogue is read."""

from collections.abc import Callable, Mapping
from typing import cast

from service.catalog.item import ITEM_COLUMNS
from service.catalog.reading.columns import Columns
from service.errors import CatalogError
from service.filters import Filter, FilterError, FilterExpressionError, compile_item_exclusion, parse_filter

Eligible = Callable[[Mapping[str, object]], bool]
"""A test of a row by column name, the source's and ours; False keeps the item from every answer."""

Exclusion = Callable[[Columns], Eligible | None]
"""Makes the test from the columns that rows will have; None where every row passes."""


def exclusion_of(expression: str | None) -> Exclusion | None:
    """The exclusion that a filter makes; one with placeholders or interactions is only checked: requests decide it.

    Raises:
        CatalogError: It is no filter.
    """
    if not expression:
        return None
    tree = parsed_exclusion(expression)
    return lambda columns: compiled_exclusion(tree, columns)


def parsed_exclusion(expression: str) -> Filter:
    """The tree of the operator's filter.

    Raises:
        CatalogError: It is no filter.
    """
    try:
        return parse_filter(expression)
    except FilterError as error:
        raise CatalogError(_in_one_line(error)) from error


def compiled_exclusion(tree: Filter, columns: Columns) -> Eligible | None:
    """The test over rows that have these columns; None for a filter with placeholders or interactions.

    Raises:
        CatalogError: It asks for a column that is not there, or for anything but columns.
    """
    # A filter that requests decide reads rendered items, which have our names only.
    names = [*ITEM_COLUMNS, *columns.further] if by_request(tree) else columns.for_filters
    try:
        predicate = compile_item_exclusion(tree, names, item_id="id" if tree.uses_interactions else None)
    except FilterError as error:
        raise CatalogError(_in_one_line(error)) from error
    return cast("Eligible", predicate.bind()) if predicate.is_static else None


def by_request(tree: Filter) -> bool:
    """Whether the filter says something else for each request."""
    return bool(tree.placeholders) or tree.uses_interactions


def _in_one_line(error: FilterError) -> str:
    message = str(error).partition("\n")[0] if isinstance(error, FilterExpressionError) else str(error)
    return f"EXCLUSION_FILTER: {message}"
