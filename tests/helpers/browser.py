"""Chromium for the tests that look at pages."""

import os
import shutil

HOW = (
    "no Chromium: the tests that look at pages are skipped; get one with `.venv/bin/playwright install --with-deps "
    "chromium`, or `apt-get install chromium`"
)


def chromium() -> str | None:
    """A Chromium of the system, else the one that playwright installed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) else None
