"""Items that were asked for lately, so that their lists can be fetched before a send."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from service.clock import Clock

MAX_ASKED_ITEMS: Final = 20_000
"""Of a placement; beyond it, those go that nobody has asked for the longest. About 3 MB."""

LATELY_SECONDS: Final = 7 * 86_400.0
"""How long an item counts as asked for lately."""


class AskedItems:
    """The items of one placement, noted whenever an answer is not just a repeated one.

    A fresh list is answered without a note, so an item that is asked for all the time is noted as often as its list is
    fetched.

    Args:
        clock: Its Unix time dates the notes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: OrderedDict[str, float] = OrderedDict()
        self._unshared: dict[str, float] = {}

    def note(self, item_id: str) -> None:
        """Somebody asked for this item."""
        now = self._clock.time()
        self._at[item_id] = self._unshared[item_id] = now
        self._at.move_to_end(item_id)
        if len(self._at) > MAX_ASKED_ITEMS:
            gone, _ = self._at.popitem(last=False)
            self._unshared.pop(gone, None)

    def lately(self) -> list[str]:
        """Items asked for in this process within `LATELY_SECONDS`, the latest first."""
        since = self._clock.time() - LATELY_SECONDS
        return [item_id for item_id, at in reversed(self._at.items()) if at >= since]

    def take_unshared(self) -> Mapping[str, float]:
        """What was noted since the last call, with its Unix time."""
        taken, self._unshared = self._unshared, {}
        return taken

    def put_back(self, taken: Mapping[str, float]) -> None:
        """Give it again with the next call: it could not be shared."""
        self._unshared = {**{one: at for one, at in taken.items() if one in self._at}, **self._unshared}
