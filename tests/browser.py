"""A real browser to open pages in."""

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
"""Names the browser where it is not on the path."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Open a headless Chromium: the system's own, nothing is downloaded.

    Keep it no longer than a module: while it is open, no other test of the thread can run a loop.
    """
    names = ("chromium", "chromium-browser")
    found = os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no Chromium here: install Debian's chromium, or set {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found)
        yield opened
        opened.close()
