"""Items whose lists are to be fetched before a send, where no file names them."""

from collections.abc import Iterator, Sequence

from service.sends.users.findings import Findings


class NamedItems:
    """`Names` that are known already.

    Args:
        item_ids: The best first; repeated ones count once.
        name: Where they come from, for messages.
    """

    def __init__(self, item_ids: Sequence[str], name: str) -> None:
        self._item_ids = list(dict.fromkeys(item_ids))
        self._name = name

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._name

    @property
    def are_far(self) -> bool:
        """Whether reading waits for a network: never."""
        return False

    def users(self, findings: Findings | None = None) -> Iterator[str]:
        """The items."""
        del findings
        return iter(self._item_ids)
