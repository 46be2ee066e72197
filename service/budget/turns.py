"""Who of the waiting callers is next: those who sent them are served in turn, by weight.

Each sender has a virtual time, which runs on by `1 / weight` with each turn. The sender whose time is the least is
next. One who waited for nothing meanwhile starts at the time of the last turn, so nobody saves turns up. A sender by
itself gets every turn, and its callers are served in the order in which they came.

Source: start-time fair queueing, P. Goyal, H. M. Vin, H. Cheng, 1996.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from service.models import Sender

Waiter = TypeVar("Waiter")


class Turns(Generic[Waiter]):
    """Waiting callers of several senders.

    Args:
        weight_of: How many turns a sender has for each turn of one whose weight is 1; above zero.
    """

    def __init__(self, weight_of: Callable[[Sender], float] = lambda _: 1.0) -> None:
        self._weight_of = weight_of
        self._queues: dict[Sender, deque[Waiter]] = {}
        self._times: dict[Sender, float] = {}
        self._time = 0.0
        self._count = 0

    def __len__(self) -> int:
        """Callers that wait."""
        return self._count

    def add(self, waiter: Waiter, sender: Sender) -> None:
        """One more waits."""
        queue = self._queues.get(sender)
        if queue is None:
            queue = self._queues[sender] = deque()
            self._times[sender] = max(self._time, self._times.get(sender, 0.0))
        queue.append(waiter)
        self._count += 1

    def remove(self, waiter: Waiter, sender: Sender) -> bool:
        """Take one out that leaves; whether it was waiting."""
        queue = self._queues.get(sender, deque())
        if waiter not in queue:
            return False
        queue.remove(waiter)
        self._taken(sender)
        return True

    def remove_all(self, is_over: Callable[[Waiter], bool]) -> list[Waiter]:
        """Take out, and get, those of whom this is true; the turns of the others stay as they are."""
        gone = []
        for sender, queue in list(self._queues.items()):
            over = [one for one in queue if is_over(one)]
            for one in over:
                queue.remove(one)
            self._count -= len(over)
            self._forget_if_empty(sender)
            gone += over
        return gone

    def next(self) -> Waiter | None:
        """Take the one out whose turn it is; None if nobody waits."""
        if not self._queues:
            return None
        sender = min(self._queues, key=self._times.__getitem__)
        self._time = self._times[sender]
        self._times[sender] += 1.0 / self._weight_of(sender)
        waiter = self._queues[sender].popleft()
        self._taken(sender)
        return waiter

    def last(self) -> Waiter | None:
        """Take the latest caller out of the sender who has most of them for its weight; None if nobody waits."""
        if not self._queues:
            return None
        sender = max(self._queues, key=self._load)
        waiter = self._queues[sender].pop()
        self._taken(sender)
        return waiter

    def would_be_last(self, sender: Sender) -> bool:
        """Whether one more caller of this sender would be the one that `last` takes out again."""
        load = (len(self._queues.get(sender, ())) + 1) / self._weight_of(sender)
        return all(load >= self._load(other) for other in self._queues if other != sender)

    def _load(self, sender: Sender) -> float:
        return len(self._queues[sender]) / self._weight_of(sender)

    def _taken(self, sender: Sender) -> None:
        self._count -= 1
        self._forget_if_empty(sender)

    def _forget_if_empty(self, sender: Sender) -> None:
        if not self._queues[sender]:
            del self._queues[sender]
            # Times of senders who wait for nothing, that are over, say nothing any more.
            self._times = {one: at for one, at in self._times.items() if one in self._queues or at > self._time}
