"""A real Chromium for tests, started without a trace of any earlier one and cut off from every other host."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Playwright, Request

BROWSER_VARIABLE = "CONTROLPLANE_TEST_BROWSER"
CANDIDATES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WIDE, PHONE, NARROW = (1440, 900), (390, 844), (320, 700)


def find_browser() -> str:
    """The browser's program; a failure that says how to get one where there is none, never a silent skip."""
    for candidate in (os.environ.get(BROWSER_VARIABLE, ""), *CANDIDATES):
        found = shutil.which(candidate) if candidate else None
        if found is not None:
            return found
    raise AssertionError(
        "Expected a Chromium for the browser tests, found none; run `apt-get install -y chromium`, or leave these "
        'tests out with -m "not browser".'
    )


@dataclass
class Window:
    """A browser of its own with one page, and everything that went wrong or went elsewhere in it."""

    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@contextmanager
def window(
    playwright: Playwright, *, size: tuple[int, int] = WIDE, has_scripts: bool = True, reduced_motion: bool = False
) -> Iterator[Window]:
    """A fresh browser with a user directory of its own."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as directory:
        context = playwright.chromium.launch_persistent_context(
            directory,
            executable_path=find_browser(),
            headless=True,
            args=list(FLAGS),
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=has_scripts,
            reduced_motion="reduce" if reduced_motion else "no-preference",
        )
        context.set_default_timeout(10_000)
        opened = Window(context, context.new_page())
        opened.page.on("console", lambda message: _note_console(opened, message.type, message.text))
        opened.page.on("pageerror", lambda error: opened.faults.append(str(error)))
        opened.page.on("request", lambda request: _note_request(opened, request))
        try:
            yield opened
        finally:
            context.close()


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    """Sign in through the page as a person does."""
    page.goto(f"{url}/sign-in")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")


def width_overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def keep_screenshot(page: Page, directory: Path, name: str) -> Path:
    """A picture of the whole page, for whoever wants to look at it."""
    path = directory / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


def _note_console(opened: Window, kind: str, text: str) -> None:
    # A cut connection is announced by the browser itself; tests cut it on purpose.
    if kind == "error" and "net::ERR_" not in text and "status of" not in text:
        opened.faults.append(text)


def _note_request(opened: Window, request: Request) -> None:
    if not request.url.startswith(("http://127.0.0.1:", "data:")):
        opened.foreign.append(request.url)
