"""Reading the documents: their code, their links, their tables."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DATA = ROOT / "docs" / "DATA.md"
ERRORS = ROOT / "docs" / "ERRORS.md"
TRAINING = ROOT / "docs" / "TRAINING.md"
TROUBLES = ROOT / "docs" / "TROUBLESHOOTING.md"
TOP_PAGES = tuple(sorted((ROOT / "docs").glob("*.md")))
"""Pages that the README links."""
PAGES = (README, *TOP_PAGES, *sorted((ROOT / "docs" / "measurements").glob("*.md")))

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_RULE = re.compile(r"[|\s:-]+")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[str]:
    """The content of every fenced block."""
    return _FENCE.findall(text_of(page))


def spans(page: Path) -> list[str]:
    """Everything written as inline code."""
    return _SPAN.findall(_FENCE.sub("", text_of(page)))


def snippets(page: Path) -> list[str]:
    """Every line of code, inline or in a block, without its comment."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    return [line.split(" #", 1)[0].strip() for line in (*lines, *spans(page))]


def relative_links(page: Path) -> list[str]:
    """Targets of links to other files, without anchors."""
    targets = (target.partition("#")[0] for target in _LINK.findall(text_of(page)))
    return [target for target in targets if target and "://" not in target]


def tables(page: Path) -> list[list[list[str]]]:
    """The tables: cells of each row, the line below the heading left out."""
    found: list[list[list[str]]] = []
    inside = False
    for line in _FENCE.sub("", text_of(page)).splitlines():
        is_row = line.startswith("|")
        if is_row and not inside:
            found.append([])
        inside = is_row
        if is_row and not _RULE.fullmatch(line):
            cells = line.removeprefix("|").removesuffix("|").split("|")
            found[-1].append([cell.strip() for cell in cells])
    return found


def table(page: Path, heading: str) -> list[list[str]]:
    """The rows of the one table whose first column is called ``heading``."""
    (rows,) = (rows for rows in tables(page) if rows[0][0] == heading)
    return rows[1:]
