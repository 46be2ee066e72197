"""`/docs` in a browser."""

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import visiting
from tests.support.processes import Process

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


async def test_the_documentation_is_drawn_within_its_policy(browser: Browser, shop: Process) -> None:
    async with visiting(browser, shop.url) as page:
        await page.goto("/docs")

        await expect(page.get_by_text("/recommendations", exact=True).first).to_be_visible()
