"""Which worker begins with which tests: those that wait for processes come first, so that none is left to wait for."""

from collections.abc import Callable, Sequence
from itertools import groupby

import pytest


def waiting_first(items: Sequence[pytest.Item], workers: int, weigh: Callable[[pytest.Item], int]) -> list[pytest.Item]:
    """The same tests, so that the parts of all workers but one begin with those that wait. Modules stay whole.

    The other one computes meanwhile; otherwise the processors were idle at first, and short at the end.

    Args:
        items: In any order; the tests of a module side by side.
        workers: Each gets an equal part of the tests, from the front on, and takes from others when it has no more.
        weigh: How long a test's module waits, in any unit; 0 if the test itself does not.
    """
    waiting = [item for item in items if weigh(item)]
    modules = [list(of_one) for _, of_one in groupby(waiting, key=lambda item: item.path)]
    modules.sort(key=lambda module: (-weigh(module[0]), -len(module)))
    others = iter([item for item in items if not weigh(item)])
    ordered: list[pytest.Item] = []
    waiters = max(1, workers - 1)
    for number in range(workers):
        begins = [item for module in modules[number::waiters] for item in module] if number < waiters else []
        size = (len(items) - len(ordered)) // (workers - number)
        ordered += begins
        ordered += [item for _, item in zip(range(size - len(begins)), others, strict=False)]
    return [*ordered, *others]
