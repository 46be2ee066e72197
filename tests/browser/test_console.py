"""The console in a browser, as people use it."""

import re

import pytest
from playwright.async_api import Browser, Page, StorageState, expect

from tests.browser.conftest import ADMIN_KEY
from tests.support.browser import PHONE, barriers, scrolls_sideways, visiting
from tests.support.processes import Process

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

PAGES = {
    "user": "/console",
    "template": "/console/template",
    "send": "/console/send",
    "operations": "/console/operations",
}
LONG = "{{ " + "a" * 200 + " }}<p>Hello</p>"
"""A word that is wider than a phone; lint repeats it."""
BLIND = "<h1>x</h1><script>alert('template')</script><img src=x onerror=alert('template')>"
"""A message that would run a script if its frame let it."""


async def enter(page: Page, key: str, path: str = "/console") -> None:
    await page.goto(path)
    await page.get_by_label("Admin key").fill(key)
    await page.get_by_role("button", name="Log in").click()


async def look_at(page: Page, user: str) -> str:
    """The name on the user's card."""
    await page.get_by_label("User id").fill(user)
    show = page.get_by_role("button", name="Show", exact=True)
    await show.click()
    # It is disabled until the answer is drawn.
    await expect(show).to_be_enabled()
    card = page.locator("#content-card p")
    await expect(card).to_be_visible()
    return await card.inner_text()


async def write(page: Page, text: str, part: str = "body") -> None:
    await page.locator(f"#part-{part}").fill(text)


async def test_nobody_comes_in_without_the_key_and_who_has_it_comes_to_the_page_and_out_again(
    browser: Browser, shop: Process
) -> None:
    async with visiting(browser, shop.url) as page:
        await enter(page, "a-wrong-key-of-24-characters", "/console/send")
        await expect(page.get_by_role("alert")).to_be_visible()
        await enter(page, ADMIN_KEY, "/console/send")
        await expect(page.get_by_role("heading", name="Send", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Log out").click()
        for path in PAGES.values():
            await page.goto(path)
            await expect(page.get_by_label("Admin key")).to_be_visible()


async def test_two_users_get_different_cards_and_a_blocked_item_is_gone(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console")
        first = await look_at(page, "user1")
        assert await look_at(page, "user2") != first
        assert await look_at(page, "user1") == first

        row = page.locator("#items tbody tr").first
        await row.get_by_role("button", name="Block").click()
        await expect(page.locator("#content-card p")).not_to_have_text(first)
        dropped = page.get_by_role("table", name="Dropped by a rule")
        await expect(dropped).to_contain_text("somebody has blocked it here")
        await dropped.get_by_role("button", name="Show again").click()
        await expect(page.locator("#content-card p")).to_have_text(first)


async def test_a_template_shows_users_side_by_side_and_its_mistake_in_the_margin(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console/template")
        await expect(page.locator("#verdict")).to_have_text("No error found. 7 of 9 messages would be sent.")
        mails = [
            await page.frame_locator(f"article[data-user={user}][data-case=''] iframe").locator("body").inner_text()
            for user in ("user1", "user2")
        ]
        assert mails[0] != mails[1]
        assert "$" in mails[0]

        text = await page.locator("#part-body").input_value()
        await write(
            page, text.replace("{% if recommendations[0].name == blank %}", "{% if recommendations.size < 1 %}")
        )
        finding = page.locator("#findings-body li").filter(has_text="size-guard")
        await expect(finding).to_contain_text("Write {% if r[0].name == blank %}")
        await expect(page.locator(".gutter .error")).to_have_attribute("title", "size-guard")
        await finding.get_by_role("button", name="Go to line 2").click()
        await expect(page.locator("#part-body")).to_be_focused()
        # What nobody sees in Braze: with the service down this mail is sent, empty.
        await expect(page.locator("article[data-case=down]")).to_contain_text("Braze sends an empty message")

        await write(page, "{% include '/etc/passwd' %}")
        await expect(page.locator("article[data-user=user2]")).to_contain_text("Braze cannot render it")


async def test_a_push_is_shown_as_one_and_copied_for_braze(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto("/console/template")
        await page.get_by_label("Channel").select_option("push")
        await page.get_by_role("button", name="Use it").click()
        shown = page.locator("article[data-user=user2] .channel-push")
        await expect(shown).to_contain_text("is waiting for you")
        await page.get_by_role("button", name="Copy for Braze: body").click()
        await expect(page.get_by_role("status").last).to_contain_text("Copied")

        copied = await page.evaluate("navigator.clipboard.readText()")

        assert copied == await page.locator("#part-body").input_value()
        assert copied.startswith("{% connected_content https://")


async def test_a_send_is_planned_and_its_lists_are_fetched(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console/send")
        for field, value in {"Recipients": "3000", "Minutes": "5", "TPS": "2"}.items():
            await page.get_by_label(field, exact=True).fill(value)
        await page.get_by_role("button", name="Plan").click()
        await expect(page.locator(".sentence")).to_have_text(re.compile(r"^\d+ % will get a live or a fresh list"))
        await expect(page.locator(".ways li")).to_contain_text(["Slower", "More TPS", "Lists before"])
        await expect(page.get_by_role("img", name="The send over time")).to_be_visible()

        users = "user_id\n" + "".join(f"reader-{number}\n" for number in range(3))
        await page.get_by_label("Users file").set_input_files(
            {"name": "users.csv", "mimeType": "text/csv", "buffer": users.encode()}
        )
        await page.get_by_role("button", name="Fetch lists").click()
        await expect(page.locator("#fetched")).to_have_text("Done: 3 of 3 users have a list, 3 fetched")


@pytest.mark.parametrize("name", [*PAGES, "login"])
async def test_nobody_meets_a_barrier_on_a_page_in_light_or_dark_or_on_a_phone(
    name: str, browser: Browser, shop: Process, entered: StorageState
) -> None:
    state = None if name == "login" else entered
    async with visiting(browser, shop.url, state=state) as page:
        await page.goto(PAGES.get(name, "/console"))
        await fill(page, name)
        assert await barriers(page) == []
        await page.emulate_media(color_scheme="dark")
        assert await barriers(page, "color-contrast") == []
        await page.set_viewport_size(PHONE)
        assert not await scrolls_sideways(page)


async def fill(page: Page, name: str) -> None:
    """Have the page show what it shows."""
    if name == "user":
        await look_at(page, "user1")
    elif name == "template":
        await write(page, "{% if recommendations.size < 1 %}{{ recommendations[0].name }}{% endif %}" + LONG)
        await expect(page.locator(".gutter .error")).to_be_visible()
    elif name == "send":
        await page.get_by_role("button", name="Plan").click()
        await expect(page.locator(".send-picture")).to_be_visible()


async def test_scripts_in_names_templates_and_user_ids_do_nothing(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    attack = "<img src=x onerror=alert(1)>"
    blocked = "Blocked script execution in 'about:srcdoc'"
    async with visiting(browser, shop.url, state=entered, expected=blocked) as page:
        await page.goto("/console")
        for user in (attack, "user1", "user2", "user3"):
            await look_at(page, user)
        assert "onerror" in await page.locator("#items").inner_text()
        assert await page.locator("#result img[src='x'], #result script").count() == 0

        await page.goto("/console/template")
        await page.get_by_label("Users, at most four").fill(f"{attack}, user1")
        await write(page, BLIND + "{{ ${user_id} }}")
        mail = "article[data-user=user1][data-case=''] iframe"
        await expect(page.frame_locator(mail).locator("h1")).to_have_text("x")
        assert await page.locator(mail).get_attribute("sandbox") == ""
        await expect(page.locator("article h3").first).to_contain_text(attack)
        # `visiting` fails if any of them opened a dialog.


async def test_everything_is_reached_by_keyboard_and_nothing_holds_it(
    browser: Browser, shop: Process, entered: StorageState
) -> None:
    async with visiting(browser, shop.url, state=entered) as page:
        await page.goto("/console/template")
        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        passed = set()
        for _ in range(40):
            await page.keyboard.press("Tab")
            passed.add(await page.evaluate("document.activeElement.id"))
            if "show" in passed:
                break
        assert {"channel", "starter", "use", "part-body", "users", "show"} <= passed
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"

        await page.goto("/console")
        await page.get_by_label("User id").focus()
        await page.keyboard.type("user1")
        await page.keyboard.press("Enter")
        await expect(page.locator("#content-card p")).to_be_visible()
