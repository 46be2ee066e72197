"""One browser, one service and one local Personalize for all tests of pages."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import chromium, need
from tests.support.processes import Process, local_personalize, service

ADMIN_KEY = "an-admin-key-of-these-tests"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    need()
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def shop() -> Iterator[Process]:
    """The service on the sample, which a person with `ADMIN_KEY` may look after."""
    with (
        local_personalize() as personalize,
        service(personalize, PERSONALIZE_TPS="50", ADMIN_KEYS=ADMIN_KEY, CACHE_FRESH_SECONDS="3600") as running,
    ):
        yield running
