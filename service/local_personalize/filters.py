"""Filters that exist here, declared at the start as NAME=EXPRESSION in Personalize's own language."""

from collections.abc import Callable, Iterable, Mapping

from service.filters import (
    Filter,
    FilterError,
    FilterSyntaxError,
    FilterValueError,
    check_columns,
    evaluate,
    parse_filter,
)
from service.local_personalize.data import Dataset
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.refusals import invalid_input

FILTER_ARN = "arn:aws:personalize:us-east-1:000000000000:filter/"
"""A filter's ARN is this and its name."""


class DeclaredFilters:
    """The filters of one dataset group, by ARN.

    Args:
        declarations: `NAME=EXPRESSION`, one for each.
        dataset: What the expressions ask about.

    Raises:
        LocalPersonalizeError: A declaration is none, or names a column that the data lack.
    """

    def __init__(self, declarations: Iterable[str], dataset: Dataset) -> None:
        self._dataset = dataset
        self._filters: dict[str, Filter] = {}
        items, users = (_columns(rows) for rows in (dataset.items, dataset.users))
        for declaration in declarations:
            name, equals, text = declaration.partition("=")
            if not equals or not name.strip():
                raise LocalPersonalizeError(f"--filter {declaration!r} is not NAME=EXPRESSION")
            try:
                parsed = parse_filter(text)
                check_columns(parsed, items=items, users=users)
                check_names(parsed)
            except FilterError as error:
                raise LocalPersonalizeError(f"--filter {name}: {error}") from error
            self._filters[FILTER_ARN + name.strip()] = parsed

    @property
    def arns(self) -> frozenset[str]:
        """ARNs that exist."""
        return frozenset(self._filters)

    def test(
        self, arn: str, *, user_id: str | None, item_id: str | None, values: Mapping[str, str]
    ) -> Callable[[str], bool]:
        """Whether an item passes, for one call.

        Raises:
            Refusal: A placeholder lacks its value, or the filter does not fit this kind of call.
        """
        history = self._dataset.histories.get(user_id or "", ())
        try:
            return evaluate(
                self._filters[arn],
                items=self._dataset.items,
                user=self._dataset.users.get(user_id or "", {}),
                interactions=[(one.item_id, one.event_type) for one in history],
                current_item=None if item_id is None else self._dataset.items.get(item_id, {}),
                values=values,
            )
        except (FilterValueError, FilterError) as error:
            raise invalid_input(str(error)) from error


def check_names(parsed: Filter) -> None:
    """Refuse a field in double quotes, which the service's own exclusions know and Amazon does not.

    Raises:
        FilterSyntaxError: There is one.
    """
    for field in parsed.fields():
        if not field.is_plain:
            raise FilterSyntaxError("Amazon knows no field in double quotes", parsed.text, field.offset)


def _columns(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    return list(next(iter(rows.values()), {}))
