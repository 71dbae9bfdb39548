"""From a matplotlib figure to SVG that is part of a page."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from reeltune.report.charts.ink import VARIABLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 420.0
"""Of a chart in one of two columns, in CSS pixels; a phone shows it a fifth smaller."""

_DECIMALS: Final = re.compile(r"(\.\d\d)\d+")
_REFERENCE: Final = re.compile(r"url\(#")
_FONT: Final = re.compile(r"font-family:[^;]*;?\s*")
_COLOUR: Final = re.compile("|".join(VARIABLES))
_DRAWN: Final = ("d", "x", "y", "width", "height", "points", "transform")


def new_sheet(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure.

    Args:
        height: In CSS pixels.
        width: In CSS pixels.
    """
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def frame(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Return axes that leave so many CSS pixels free at each side of the figure."""
    width, height = (side * 72 for side in figure.get_size_inches())
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure.add_axes(box)


def to_svg(figure: Figure, name: str, alternative: str) -> Markup:
    """Return a figure as inline SVG.

    Fixed sizes, fonts and colours are taken out, so that the page decides them; identifiers begin
    with ``name``, so that several charts can share a page.

    Args:
        figure: Drawn within :func:`reeltune.report.charts.ink.inked`.
        name: Of the chart, unique on the page.
        alternative: What it shows, for those who do not see it.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The browser has fonts for what matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    _drop(root, ("metadata", "style"))
    for element in root.iter():
        _take_over(element, name)
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "role": "img", "aria-label": alternative})
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def clean(text: str) -> str:
    """Return text without the characters that XML cannot hold or that would break a line."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text)


def shortened(text: str, length: int) -> str:
    """Return text that fits a chart; the table beside it has all of it."""
    text = clean(text)
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _drop(root: ElementTree.Element, names: tuple[str, ...]) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in names:
                parent.remove(child)


def _take_over(element: ElementTree.Element, name: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    found = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    if element.tag == "g":
        # matplotlib numbers its groups in each figure anew, and nothing refers to them.
        found.pop("id", None)
    elif "id" in found:
        found["id"] = f"{name}-{found['id']}"
    if "href" in found:
        found["href"] = f"#{name}-{found['href'].removeprefix('#')}"
    for key, value in found.items():
        if key in _DRAWN:
            found[key] = _DECIMALS.sub(r"\1", value)
        elif key == "clip-path":
            found[key] = _REFERENCE.sub(f"url(#{name}-", value)
        elif key == "style":
            plain = _FONT.sub("", value)
            found[key] = _COLOUR.sub(lambda match: VARIABLES[match[0]], plain)
    element.attrib.clear()
    element.attrib.update(found)
