"""Real processes on loopback: the service, a local Personalize, Redis."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.processes import Process, local_personalize, service


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test has started, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def personalize() -> Iterator[Process]:
    """A local Personalize over the sample that never throttles."""
    with local_personalize() as running:
        yield running


@pytest.fixture(scope="module")
def replica(personalize: Process) -> Iterator[Process]:
    """One replica on the sample, with more TPS than these tests need."""
    with service(personalize, PERSONALIZE_TPS="50") as running:
        yield running
