"""Filters of the control plane, applied to one call."""

from collections.abc import Callable, Mapping

from service.filters import Filter, FilterError, FilterValueError, evaluate, parse_filter
from service.local_personalize.data import Dataset
from service.local_personalize.refusals import invalid_input

Passes = Callable[[str], bool]
"""Whether an item may be in a list."""


def filter_test(
    expression: str | Filter,
    data: Dataset,
    *,
    user_id: str | None,
    item_id: str | None,
    values: Mapping[str, str],
) -> Passes:
    """Whether an item passes the expression, for one user and item.

    Raises:
        Refusal: A placeholder lacks its value, or the filter does not fit this kind of call.
    """
    history = data.histories.get(user_id or "", ())
    try:
        return evaluate(
            parse_filter(expression) if isinstance(expression, str) else expression,
            items=data.items,
            user=data.users.get(user_id or "", {}),
            interactions=[(one.item_id, one.event_type) for one in history],
            current_item=None if item_id is None else data.items.get(item_id, {}),
            values=values,
        )
    except (FilterValueError, FilterError) as error:
        raise invalid_input(str(error)) from error
