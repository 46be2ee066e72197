"""Whether the catalogue has the columns that the placements' rules name."""

from collections.abc import Iterator

from service.answers.exclusions import compiled
from service.catalog.item import ITEM_COLUMNS
from service.catalog.ports import ItemCatalog
from service.filters import FilterError, parse_filter
from service.settings import Settings
from service.settings.placements import RuleTerms


def rule_problems(settings: Settings, catalog: ItemCatalog) -> list[str]:
    """A line for each rule that names a column which the catalogue does not have."""
    found: list[str] = []
    for name, terms in settings.placements.items():
        where = f"placement {name}: "
        found += _problems(terms, catalog, where)
        if terms.category_column:
            found += _unknown(terms.category_column, catalog, f"{where}category_column")
        for variant in terms.variants:
            found += _problems(variant, catalog, f"{where}variant {variant.name}: ")
    return [f"PLACEMENTS_FILE: {line}" if settings.placements_file else line for line in found]


def _problems(rules: RuleTerms, catalog: ItemCatalog, where: str) -> Iterator[str]:
    for key in ("exclusion_filter", "boost", "bury"):
        text: str | None = getattr(rules, key)
        if text:
            expression = parse_filter(text)
            try:
                compiled(expression, catalog)
            except FilterError as error:
                yield f"{where}{key}: {str(error).splitlines()[0]}"
    for column in rules.max_per:
        yield from _unknown(column, catalog, f"{where}max_per.{column}")


def _unknown(column: str, catalog: ItemCatalog, where: str) -> Iterator[str]:
    if not catalog.is_open and column not in (*ITEM_COLUMNS, *catalog.columns):
        there = ", ".join(catalog.columns) or "none"
        yield f"{where}: the catalogue has no column {column!r}; there are: {there}"
