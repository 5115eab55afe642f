"""A page as a picture: ``python tests/render/picture_page.py MODEL_REPORT.html OUT.png [--dark] [--width 1280] [--height 0]``."""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
    ),
)


@contextmanager
def browser() -> Iterator[Chrome]:
    """Give a headless Chromium of its own, which logs what it fetches and what it complains about."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def logged(driver: Chrome, kind: str) -> list[dict[str, str]]:
    """Return the entries of the log called `kind`, ``browser`` or ``performance``, since it was last asked for."""
    return list(driver.execute("getLog", {"type": kind})["value"])


def show(driver: Chrome, width: int, height: int, *, dark: bool = False) -> None:
    """Make the window so many CSS pixels large, and prefer light or dark colours."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def capture(driver: Chrome, png: Path) -> None:
    """Write what the window shows."""
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    png.write_bytes(base64.b64decode(shot["data"]))


def screenshot(page: Path, png: Path, width: int = 1280, height: int = 0, dark: bool = False) -> None:
    """Write a picture of the page `width` pixels wide; `height` 0 is all of it."""
    with browser() as driver:
        show(driver, width, height or 900, dark=dark)
        driver.get(page.resolve().as_uri())
        if not height:
            show(driver, width, driver.execute_script("return document.documentElement.scrollHeight"), dark=dark)
        capture(driver, png)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=0, help="0: the whole page")
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    screenshot(given.page, given.png, given.width, given.height, given.dark)


if __name__ == "__main__":
    main()
