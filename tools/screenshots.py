"""`make pictures`: docs/pictures/*.png, of the console's pages as Chromium shows them.

Everything runs on loopback: a local Personalize and the service on the sample shop, whose pictures it serves itself.
"""

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
from playwright.async_api import Page, ViewportSize

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import chromium, missing, visiting  # noqa: E402  # found by the line above
from tests.support.ports import free_port  # noqa: E402  # as above
from tests.support.processes import SAMPLE, Process, local_personalize, service  # noqa: E402  # as above

PICTURES: Final = ROOT / "docs/pictures"
SAMPLE_HOST: Final = "http://127.0.0.1:8000"
"""Where the sample says that its pictures are; `make run` serves them there."""

EVENTS_KEY: Final = "events-key-of-the-pictures"
DID: Final = [{"eventType": "View", "itemId": "lamp-arc"}, {"eventType": "Purchase", "itemId": "speaker-teal"}]
"""By user1, so that the page has something to explain."""

CALLERS: Final = 120
"""Calls before the pictures, so that there are answers to count; the sample's users are fewer."""

SETTLING_MS: Final = 1_000

SIZE: Final[ViewportSize] = {"width": 1200, "height": 860}


def live(shop: Process) -> None:
    """Have users do something, and be answered."""
    headers = {"X-API-Key": EVENTS_KEY}
    with httpx.Client(base_url=shop.url) as client:
        client.post("/events", json={"userId": "user1", "eventList": DID}, headers=headers).raise_for_status()
        for number in range(CALLERS):
            user = f"user{number % 50}" if number % 10 else ""
            client.get("/recommendations", params={"user_id": user}).raise_for_status()


async def draw(shop: Process) -> None:
    """Open each page, have it show what it is for, and write its picture."""
    async with chromium() as browser, visiting(browser, shop.url, size=SIZE) as page:
        await page.goto("/console")
        await page.get_by_label("User id").fill("user1")
        await page.get_by_role("button", name="Show", exact=True).click()
        await page.locator("#content-card p").wait_for()
        await take(page, "console-user")

        await page.goto("/console/template")
        await page.locator("article[data-user=user2] iframe").wait_for()
        text = await page.locator("#part-body").input_value()
        text = text.replace("{{ item.price | money }}", "{{ item.price }}")
        await page.locator("#part-body").fill(text)
        await page.locator(".gutter .error").wait_for()
        await take(page, "console-template")

        await page.goto("/console/send")
        for field, value in {"recipients": "20000", "minutes": "20", "tps": "10", "fresh": "10", "batch": "40"}.items():
            await page.locator(f"#{field}").fill(value)
        await page.get_by_role("button", name="Plan").click()
        await page.locator(".send-picture").wait_for()
        await take(page, "console-send")

        await page.goto("/console/operations")
        await take(page, "console-operations")


async def take(page: Page, name: str) -> None:
    """Write what the window shows, once its pictures are there; those further down are never loaded."""
    await page.wait_for_timeout(SETTLING_MS)
    await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled", caret="hide")
    print(PICTURES / f"{name}.png")


def main() -> int:
    """Exit status 1 if there is no Chromium."""
    if problem := missing():
        print(problem, file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        # The service has the sample's pictures, at its own address.
        items = (SAMPLE / "items.csv").read_text("utf-8").replace(SAMPLE_HOST, f"http://127.0.0.1:{port}")
        (folder / "items.csv").write_text(items, "utf-8")
        personalize = stack.enter_context(local_personalize())
        shop = stack.enter_context(
            service(
                personalize,
                catalog=folder / "items.csv",
                PORT=str(port),
                CONSOLE_ACCESS="open",
                PERSONALIZE_TPS="50",
                EVENT_KEYS=EVENTS_KEY,
                EXCLUDE_AFTER="Purchase:180d",
            )
        )
        live(shop)
        asyncio.run(draw(shop))
    return 0


if __name__ == "__main__":
    sys.exit(main())
