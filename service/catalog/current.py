"""The active catalogue."""

from dataclasses import dataclass

from service.catalog.ports import ItemCatalog


@dataclass(slots=True)
class CurrentCatalog:
    """Holds the active catalogue; `CatalogRefresher` replaces `snapshot` as a whole."""

    snapshot: ItemCatalog
