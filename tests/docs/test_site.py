"""The documentation builds as a site without warnings, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import reeltune
from tests.browser import chromium
from tests.docs.pages import PAGES, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_LOADED = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="?([^"\s>]+)|<link([^>]*)>')
_HREF = re.compile(r'href="?([^"\s>]+)')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with strict checks."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_in_the_site(site: Path):
    assert (site / "index.html").is_file()
    for page in PAGES[1:]:
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / name).is_file(), page


@pytest.mark.slow
def test_site_loads_nothing_from_elsewhere(site: Path):
    for page in site.rglob("*.html"):
        for source, link in _LOADED.findall(page.read_text(encoding="utf-8")):
            if 'rel="canonical"' in link or "rel=canonical" in link:
                continue
            target = source or _HREF.search(link)[1]  # pyright: ignore[reportOptionalSubscript]
            assert not target.startswith(("http:", "https:", "//")), (page, target)
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\"?https?:", style.read_text(encoding="utf-8")), style


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index", "PERFORMANCE", "TRAINING_PARAMETERS", "API"])
def test_page_has_no_horizontal_overflow_and_no_requests(site: Path, browser: Browser, name: str):
    page = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((site / f"{name}.html").as_uri())
    page.wait_for_load_state("networkidle")
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) == 0
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def test_citation_has_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == reeltune.__version__
    assert citation["license"] == project["license"]


def test_changelog_has_the_version_of_the_package():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(reeltune.__version__)}\]?", changelog, re.MULTILINE)
