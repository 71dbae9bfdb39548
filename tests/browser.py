"""A browser for tests of pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "REELTUNE_TEST_CHROMIUM"
"""Names the browser if it is not on the path."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Open the system's headless Chromium.

    Close it within a module: while it is open, no other test of the thread can run an event loop.
    """
    names = ("chromium", "chromium-browser")
    found = os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no Chromium: install Debian's chromium, or set {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found)
        yield opened
        opened.close()
