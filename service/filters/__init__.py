"""Amazon Personalize's filter expressions: parsed into a tree, compiled into tests over items.

::

    exclusion = parse_filter('EXCLUDE ItemID WHERE Items.CATEGORY IN ("beauty") OR Items.PRICE > $MAX_PRICE')
    predicate = compile_item_exclusion(exclusion, ["id", "category", "price"])
    shows = predicate.bind({"MAX_PRICE": "100"})
    shows({"id": "abc123", "category": "garden|beauty", "price": 39.99})  # False

Nothing here imports another part of the service.
"""

from service.filters.errors import (
    FilterColumnError,
    FilterDatasetError,
    FilterError,
    FilterExpressionError,
    FilterSyntaxError,
    FilterValueError,
)
from service.filters.evaluate import (
    ItemPredicate,
    Row,
    Shows,
    check_columns,
    compile_item_exclusion,
    evaluate,
)
from service.filters.model import Filter
from service.filters.values import Value

__all__ = [
    "Filter",
    "FilterColumnError",
    "FilterDatasetError",
    "FilterError",
    "FilterExpressionError",
    "FilterSyntaxError",
    "FilterValueError",
    "ItemPredicate",
    "Row",
    "Shows",
    "Value",
    "check_columns",
    "compile_item_exclusion",
    "evaluate",
    "parse_filter",
]


def parse_filter(text: str) -> Filter:
    """The tree of a filter; see ``service.filters.parser.parse`` for the fine points of the language.

    Raises:
        FilterSyntaxError: With the place, and in plain words what was expected.
    """
    # lark is imported and its grammar built only for those who have a filter.
    from service.filters.parser import parse  # noqa: PLC0415

    return parse(text)
