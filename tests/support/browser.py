"""Headless Chromium as Debian packages it, driven by Playwright; and axe-core, which finds barriers on a page.

`.ci/run` installs both and sets `BROWSER_TESTS=required`. Elsewhere the tests are skipped where one of them is missing.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    StorageState,
    ViewportSize,
    async_playwright,
    expect,
)

from tests.support.processes import ROOT

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
AXE: Final = ROOT / ".venv/axe/node_modules/axe-core/axe.min.js"
"""`make test` puts it there, with npm."""

ARGUMENTS: Final = (
    "--no-sandbox",  # a test may run as root, for which Chromium has no sandbox; it sees our own pages only
    "--disable-dev-shm-usage",  # a container's /dev/shm may be too small
    "--disable-gpu",
)
PHONE: Final[ViewportSize] = {"width": 320, "height": 640}
DESK: Final[ViewportSize] = {"width": 1280, "height": 900}

PATIENCE_MS: Final = 60_000.0
"""Far above what any wait takes; a machine that does other work too is slow, not wrong."""


expect.set_options(timeout=PATIENCE_MS)

SERIOUS: Final = frozenset({"serious", "critical"})


def missing() -> str:
    """What is not installed and how it is to be had; empty if nothing is missing."""
    if not CHROMIUM:
        return "no Chromium: apt-get install chromium"
    return "" if AXE.is_file() else "no axe-core: `make test` fetches it where npm is installed"


def need() -> None:
    """Skip the test, or in CI fail it, if something is missing."""
    problem = missing()
    if problem and os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser; it ends with the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watched:
    """What a page said that nobody saw: errors of scripts, breaches of its policy, dialogs."""

    expected: str = ""
    """Part of what an error may say."""
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note what it says from now on."""
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        # A picture of the shop that cannot be loaded, and a status that the page shows, are no mistakes of the page.
        harmless = "Failed to load resource" in message.text or (self.expected and self.expected in message.text)
        if message.type == "error" and not harmless:
            self.complaints.append(message.text)

    async def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


@asynccontextmanager
async def visiting(
    browser: Browser,
    url: str,
    *,
    state: StorageState | None = None,
    size: ViewportSize | None = None,
    expected: str = "",
) -> AsyncIterator[Page]:
    """A page in a browser of its own as to cookies. Fails at its end if a script failed or broke the page's policy.

    Args:
        browser: Who shows it.
        url: The service's address; paths are relative to it. Nothing is loaded from elsewhere.
        state: Cookies, as `storage_state` gave them.
        size: Of the window.
        expected: Part of what an error of the page may say.
    """
    context = await browser.new_context(
        base_url=url,
        storage_state=state,
        viewport=size or DESK,
        reduced_motion="reduce",
    )
    try:
        context.set_default_timeout(PATIENCE_MS)
        await _stay(context, url)
        page = await context.new_page()
        watched = Watched(expected)
        watched.watch(page)
        yield page
        assert not watched.complaints, watched.complaints
    finally:
        await context.close()


async def _stay(context: BrowserContext, url: str) -> None:
    """No request leaves the machine: pictures of the sample shop are nowhere."""
    await context.route(lambda address: not address.startswith((url, "data:", "blob:")), lambda route: route.abort())


async def barriers(page: Page, *rules: str) -> list[str]:
    """Serious barriers for people who see, hear or move otherwise, as axe-core finds them: rule and element.

    Args:
        page: What is looked at.
        rules: Only these; none: all.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text("utf-8"))
    options = {"iframes": False} | ({"runOnly": list(rules)} if rules else {})
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


async def scrolls_sideways(page: Page) -> bool:
    """Whether the page is wider than its window."""
    wider: bool = await page.evaluate("document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth")
    return wider
