"""What may be shown to a request: the active catalogue, the block list, and the operator's exclusion."""

from service.answers.exclusions import RequestExclusion
from service.answers.rendering import check_fields
from service.answers.selection import Rules
from service.catalog.current import CurrentCatalog
from service.catalog.ports import BlockList, ItemCatalog
from service.models import RecommendationQuery


class ItemRules:
    """Binds the rules of this moment to a request.

    Args:
        catalog: Holds the active catalogue.
        blocked: Items that an operator took out of every answer.
        exclusion: The operator's exclusion where requests fill its placeholders; None where the catalogue has applied
            it already.
    """

    def __init__(
        self, *, catalog: CurrentCatalog, blocked: BlockList, exclusion: RequestExclusion | None = None
    ) -> None:
        self._catalog = catalog
        self._blocked = blocked
        self._exclusion = exclusion

    @property
    def version(self) -> int:
        """Changes whenever an answer rendered before could now be different."""
        return self._catalog.snapshot.version + self._blocked.version

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
        if self._exclusion is not None:
            self._exclusion.bind(catalog, query.filter_values)

    def bind(self, query: RecommendationQuery) -> Rules:
        """The rules for this request, over one snapshot of the catalogue."""
        catalog = self._catalog.snapshot
        return Rules(
            catalog=catalog,
            exclude=query.exclude,
            blocked=self._blocked,
            shows=None if self._exclusion is None else self._exclusion.bind(catalog, query.filter_values),
        )
