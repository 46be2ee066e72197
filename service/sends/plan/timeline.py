"""Virtual time: what happens when, in order."""

import heapq
from collections.abc import Callable


class Timeline:
    """A `Clock` whose time goes from one action to the next; what is due at the same time happens as it was put in."""

    def __init__(self) -> None:
        self.now = 0.0
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        self._put_in = 0

    def time(self) -> float:
        """Seconds; both clocks are the same."""
        return self.now

    def monotonic(self) -> float:
        """Seconds; both clocks are the same."""
        return self.now

    def call_at(self, moment: float, action: Callable[[], None]) -> None:
        """Put in an action."""
        self._put_in += 1
        heapq.heappush(self._actions, (moment, self._put_in, action))

    def advance_to(self, moment: float) -> None:
        """Do all that is due by then."""
        actions = self._actions
        while actions and actions[0][0] <= moment:
            self._next()
        self.now = moment

    def finish(self) -> None:
        """Do all that is still due."""
        while self._actions:
            self._next()

    def _next(self) -> None:
        self.now, _, action = heapq.heappop(self._actions)
        action()
