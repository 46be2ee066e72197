"""The client of Redis, with a time that tests move."""

import pytest

from service.fleet import client as client_module
from tests.support.clocks import StandingClock
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def patient_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no Redis that is away."""
    monkeypatch.setattr(client_module, "FINDING_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> StandingClock:
    """The client's time."""
    clock = StandingClock(100.0)
    monkeypatch.setattr(client_module, "_now", clock.monotonic)
    return clock
