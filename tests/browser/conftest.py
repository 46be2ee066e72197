"""One browser, one service and one local Personalize for all tests of pages."""

import csv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.support.browser import chromium, need, visiting
from tests.support.processes import SAMPLE, Process, local_personalize, service

ADMIN_KEY: Final = "an-admin-key-of-these-tests"

ATTACK: Final = """"'><img src=x onerror="alert('name')"><script>alert('name')</script>{{ 7 | times: 7 }}"""
"""A name that runs a script wherever it is taken for HTML."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    need()
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The service on the sample, with an attack in every name."""
    catalog = _attacking(tmp_path_factory.mktemp("shop") / "items.csv")
    with (
        local_personalize() as personalize,
        service(
            personalize, catalog=catalog, PERSONALIZE_TPS="50", ADMIN_KEYS=ADMIN_KEY, CACHE_FRESH_SECONDS="3600"
        ) as running,
    ):
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def entered(browser: Browser, shop: Process) -> StorageState:
    """The cookies of somebody who has logged in."""
    async with visiting(browser, shop.url) as page:
        await page.goto("/console")
        await page.get_by_label("Admin key").fill(ADMIN_KEY)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="Log out").wait_for()
        return await page.context.storage_state()


def _attacking(path: Path) -> Path:
    with (SAMPLE / "items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "name": row["name"] + ATTACK} for row in rows)
    return path
