"""Headless Chromium on Dagster's UI: pages by what they show, pictures of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chunk_sync.cli.testing import TOOLS

if TYPE_CHECKING:  # installed with Chromium only; the tests of a machine without it are collected all the same
    from playwright.sync_api import Browser, Locator, Page, Request, ViewportSize

SIZE: ViewportSize = {"width": 1400, "height": 850}
SMALL: ViewportSize = {"width": 1280, "height": 720}
"""For the pictures of docs/ui.md."""
LARGE: ViewportSize = {"width": 1900, "height": 1300}
"""For the whole lineage."""
WAIT_MS = 60_000
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WIDE = "localStorage.setItem('dagster-nav-collapsed', 'true')"


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=TOOLS["chromium"].program(), headless=True, args=_FLAGS, timeout=WAIT_MS
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, url: str, pictures: list[Path]) -> Iterator[Ui]:
    """Open a page with no past; what went wrong in it, and whom else it called, is in the `Ui`."""
    context = browser.new_context(locale="en-US", timezone_id="UTC", viewport=SIZE)
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(_WIDE)
    try:
        page = context.new_page()
        ui = Ui(page, url, pictures)
        page.on("pageerror", lambda error: ui.errors.append(str(error)))
        page.on("request", ui.note_request)
        try:
            yield ui
        finally:
            page.screenshot(path=pictures[0] / "end.png")  # what there was to see when a test failed
    finally:
        context.close()


@dataclass
class Ui:
    """One page of Dagster's UI. `show` waits for what it names, for as long as it takes a busy machine."""

    page: Page
    url: str
    pictures: list[Path]
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def note_request(self, request: Request) -> None:
        """Remember requests to anybody but our own server."""
        if not request.url.startswith((self.url, self.url.replace("http", "ws"), "data:", "blob:")):
            self.strangers.append(request.url)

    def go(self, path: str) -> None:
        """Open a path. The UI polls, so the network is never idle: wait for what the page shows instead."""
        self.page.goto(self.url + path, wait_until="domcontentloaded")

    def show(self, text: str | re.Pattern[str], *, exact: bool = True) -> Locator:
        """Wait until a text is on the page; the first place where it is."""
        found = self.page.get_by_text(text, exact=exact).first
        found.wait_for()
        return found

    def press(self, name: str | re.Pattern[str]) -> None:
        """Press a button by its words, once it can be pressed."""
        self.page.get_by_role("button", name=name).first.click()

    def write(self, text: str) -> None:
        """Write into the page's editor, in place of what is there, and wait until it is found valid."""
        self.page.locator(".CodeMirror").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)
        self.page.locator(".CodeMirror-line", has_text=text.splitlines()[-1].strip()).wait_for()
        self.show("No errors")

    def launch(self, job: str, op: str, config: Mapping[str, object], picture: str) -> str:
        """Fill in the launchpad of a job of one op and launch it; returns the run's id. Takes a picture of it."""
        self.go(f"/locations/chunk_sync/jobs/{job}/playground")
        self.show("No errors")
        fields = "".join(f"      {name}: {json.dumps(value)}\n" for name, value in config.items())
        self.write(f"ops:\n  {op}:\n    config:\n{fields.rstrip()}")
        self.picture_of_launchpad(picture)
        self.press("Launch Run")
        return self.run_id()

    def picture_of_launchpad(self, name: str) -> None:
        """Take a picture once the run can be launched."""
        self.page.get_by_role("button", name="Launch Run").click(trial=True)
        self.page.mouse.move(0, 0)
        self.picture(name)

    def run_id(self) -> str:
        """Wait for the page of a run; its id."""
        self.page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
        return self.page.url.partition("/runs/")[2][:36]

    def icon(self, name: str) -> Locator:
        """Find an icon by its name, the last on the page: the bar on the left has some of the same name."""
        return self.page.get_by_label(name, exact=True).last

    def picture(self, name: str) -> None:
        """Take a picture of what is seen, wherever pictures are wanted."""
        first, *others = [folder / f"{name}.png" for folder in self.pictures]
        self.page.screenshot(path=first, animations="disabled", caret="hide")
        for other in others:
            shutil.copy(first, other)
