"""Where the items are, and which of them are shown."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import Field

from service.catalog.item import ITEM_COLUMNS
from service.catalog.reading.origins import column_pairs
from service.constants import MAX_ID_CHARACTERS
from service.settings.base import Problem, SettingsGroup, shown, split

CATALOG_SCHEMES: Final = ("file", "s3", "dynamodb")


class CatalogSettings(SettingsGroup):
    """What the service and `personalize-connect catalog check` read items by."""

    catalog_url: str = ""
    """Where the items are; required."""

    catalog_columns: str | None = None
    """Our columns and where they come from: `name=product_name,url=https://shop.example/{Handle},price=pricing.current`;
    see `column_mapping`."""

    catalog_file: Path | None = None
    """What `catalog build` wrote; used for as long as the source holds what it was made of."""

    catalog_refresh_seconds: float = Field(60, ge=1, le=86_400)
    """How often the catalogue's source is looked at for a change."""

    catalog_max_shrink: float = Field(0.5, ge=0, le=1)
    """A new catalogue that lost a larger share of its items is refused like a broken file; 1 accepts any."""

    exclusion_filter: str | None = None
    """Expression in Personalize's filter language, applied to every answer; checked where it is used."""

    popular_items: str | None = None
    """Curated ids for the non-personalised list; see `popular_ids`."""

    personalize_items_dataset_arn: str | None = None
    """Items dataset that `catalog push` fills."""

    @property
    def column_mapping(self) -> Mapping[str, str]:
        """Our column name to what stands for it: the source's column, a path in it, or a template."""
        return dict(self._column_pairs())

    @property
    def popular_ids(self) -> list[str]:
        """Curated ids, best first."""
        return split(self.popular_items or "")

    def problems(self) -> Iterator[Problem]:
        """An address of no kind we know, columns that cannot be mapped, ids that Personalize could not have."""
        yield from self._url_problems()
        yield from self._column_problems()
        if any(len(item_id) > MAX_ID_CHARACTERS for item_id in self.popular_ids):
            yield Problem.of("popular_items", f"an id is longer than {MAX_ID_CHARACTERS} characters")

    def _url_problems(self) -> Iterator[Problem]:
        schemes = ", ".join(f"{scheme}://" for scheme in CATALOG_SCHEMES)
        if not self.catalog_url:
            yield Problem.of("catalog_url", f"is required; an address that begins with one of {schemes}")
        elif _scheme(self.catalog_url) not in CATALOG_SCHEMES:
            yield Problem.of("catalog_url", f"must begin with one of {schemes}; a file is file:///folder/items.csv")

    def _column_problems(self) -> Iterator[Problem]:
        pairs = list(self._column_pairs())
        for ours, theirs in pairs:
            if theirs.count("{") != theirs.count("}"):
                yield Problem.of("catalog_columns", f"{shown(f'{ours}={theirs}')} has a brace that is not closed")
            elif theirs.startswith('"'):
                yield Problem.of("catalog_columns", f"{shown(f'{ours}={theirs}')} has a quote that is not closed")
            elif ours not in ITEM_COLUMNS or not theirs:
                yield Problem.of(
                    "catalog_columns",
                    f"{shown(f'{ours}={theirs}')} is not OURS=THEIRS with OURS one of {', '.join(ITEM_COLUMNS)}",
                )
        for part, side in ((0, "ours"), (1, "theirs")):
            for name, count in Counter(pair[part] for pair in pairs).items():
                if count > 1 and name:
                    yield Problem.of(
                        "catalog_columns", f"{shown(name)} stands {count} times among {side}; must be once"
                    )

    def _column_pairs(self) -> Iterator[tuple[str, str]]:
        yield from column_pairs(self.catalog_columns or "")


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower() if ":" in url else ""
