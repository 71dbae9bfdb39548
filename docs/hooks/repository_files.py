"""Add pages from the root of the repository, and copies of the repository's files that pages link.

Pages are read on the site and in the repository. A link such as ``../benchmarks/results/x.json``
leaves the folder of the pages, so the site gets a copy below ``repository/``; a link to a folder of
the repository becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:)([^)\s#]+)(#[^)\s]*)?\)")
_FROM_ROOT: Final = re.compile(r"\]\((?!docs/|[a-z]+:|#)")
_PAGES: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
}
"""Pages from the root of the repository, by their files."""
_COPIES: Final = "repository"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, their links as if from docs/, and copies of linked files."""
    root = Path(config.config_file_path).parent
    for name, page in _PAGES.items():
        text = (root / name).read_text(encoding="utf-8")
        moved = _FROM_ROOT.sub("](../", text).replace("](docs/", "](")
        files.append(File.generated(config, page, content=moved))
    for file in list(files.documentation_pages()):
        for match in _LINK.finditer(file.content_string):
            path = _in_repository(file.src_uri, match[2])
            if path is None or path in _PAGES or not (root / path).is_file():
                continue
            copy = f"{_COPIES}/{path}"
            if files.get_file_from_path(copy) is None:
                files.append(File.generated(config, copy, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave the pages at the pages of the root and at the copies."""
    root = Path(config.config_file_path).parent

    def changed(match: re.Match[str]) -> str:
        path = _in_repository(page.file.src_uri, match[2])
        if path is None:
            return match[0]
        if not (root / path).is_file():
            return match[1]
        target = _PAGES.get(path, f"{_COPIES}/{path}")
        link = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{match[1]}]({link}{match[3] or ''})"

    return _LINK.sub(changed, markdown)


def _in_repository(page: str, target: str) -> str | None:
    """Return the path of a link's target below the root; None if it is inside docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if path.startswith("docs/") else path
