"""A browser without a window, for the tests."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.servers import about_to_start


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The system's Chromium; skips the test where there is none."""
    about_to_start("a browser")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium: install the system's package chromium")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=as_root)
        yield opened
        opened.close()
