"""The page User and the page Operations in a browser: items found, users forgotten, addresses that attack."""

import pytest
from playwright.async_api import Browser, Page, StorageState, expect

from tests.support.browser import PHONE, barriers, scrolls_sideways, visiting
from tests.support.processes import Process

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


async def look(page: Page, user: str) -> None:
    """Typed and sent without a mouse."""
    await page.get_by_label("User id").fill(user)
    async with page.expect_response("**/console/api/user"):
        await page.keyboard.press("Enter")
    await expect(page.locator("#summary")).to_contain_text("items from")


async def test_an_item_is_found_as_it_looks_blocked_and_shown_again(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console/operations")
        await page.get_by_label("Item id, or a part of a name").fill("kite-delta")
        await page.keyboard.press("Enter")
        await page.get_by_text("How it looks").click()
        await expect(page.locator("#items article")).to_contain_text("Picked for you")
        assert await barriers(page) == []
        await page.locator("#items").get_by_role("button", name="Block").click()
        blocked = page.locator("#blocked-items li").filter(has_text="kite-delta")
        await blocked.get_by_role("button", name="Show again").click()
        await expect(blocked).to_have_count(0)
        await expect(page.locator("#items").get_by_role("button", name="Block")).to_be_visible()
        await page.set_viewport_size(PHONE)
        assert not await scrolls_sideways(page)


async def test_a_user_is_forgotten_only_after_a_second_thought(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console")
        await look(page, "user5")
        await page.get_by_role("button", name="Forget this user").click()
        await page.get_by_role("button", name="No", exact=True).click()
        await expect(page.locator("#lists li")).to_have_count(1)
        await page.get_by_role("button", name="Forget this user").click()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status").last).to_have_text("The user is forgotten, on every replica.")


async def test_names_ids_and_addresses_that_attack_do_nothing(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    """`visiting` fails at any script that runs, any dialog, and any breach of the policy."""
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console")
        async with page.expect_response("**/console/api/user") as answered:
            await page.get_by_label("User id").fill(HOSTILE)
            await page.keyboard.press("Enter")
        found = await (await answered.value).json()
        first = found["items"][0]["id"]
        for item in found["items_by_id"].values():
            item |= {"name": HOSTILE, "url": "javascript:alert(3)", "image": "javascript:alert(4)"}
        found |= {"takes_events": True, "summary": HOSTILE, "fetched": HOSTILE, "because_of_item": first}
        found["events"] = [{"event_type": HOSTILE, "item_id": first, "at": 0, "excludes": True}]
        found["items"][0] |= {"why": HOSTILE}

        await page.route("**/console/api/user", lambda route: route.fulfill(json=found))
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.locator("#summary")).to_have_text(HOSTILE)
        assert await page.locator("main script, main img").count() == 0
        links = await page.locator("main a").evaluate_all("all => all.map(one => one.href)")
        assert [link for link in links if not link.startswith(("http:", "https:"))] == []
        assert HOSTILE in await page.locator("#events").inner_text()


async def test_what_the_service_refuses_is_said_on_the_page(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console")
        await page.get_by_label("Placement").select_option("for-you")
        await page.context.clear_cookies()
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(page.get_by_role("status").last).to_have_text("log in again: the session is over")
