"""What any test may ask for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from service.clock import SystemClock
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from tests.support.amazon import Amazon


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator["Amazon"]:
    """S3 and DynamoDB of the test's own, where the SDK's own variables say that they are."""
    from tests.support.amazon import Amazon  # noqa: PLC0415  # moto takes half a second to import

    with Amazon() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def clock() -> SystemClock:
    """Real time."""
    return SystemClock()
