"""What any test may ask for."""

from collections.abc import Iterator

import pytest

from service.clock import SystemClock
from tests.support.redis import RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def clock() -> SystemClock:
    """Real time."""
    return SystemClock()
