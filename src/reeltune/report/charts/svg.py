"""Charts as inline SVG that takes its colours, fonts and width from the page."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from reeltune.report.charts.style import VARIABLES
from reeltune.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 420.0
"""CSS pixels of a chart in one of two columns; a phone shows it a fifth smaller."""

_DECIMALS: Final = re.compile(r"(\.\d\d)\d+")
_REFERENCE: Final = re.compile(r"url\(#")
_FONT: Final = re.compile(r"font-family:[^;]*;?\s*")
_COLOUR: Final = re.compile("|".join(VARIABLES))
_ROUNDED: Final = ("d", "x", "y", "width", "height", "points", "transform")


@dataclass(frozen=True)
class Chart:
    """A chart as the template shows it.

    Attributes:
        title: What it shows.
        about: How to read it.
        drawing: Inline SVG; None if there is nothing to draw.
        missing: Why there is nothing to draw.
        table: Its numbers; None if there is nothing to draw.
    """

    title: str
    about: str
    drawing: Markup | None
    missing: str = ""
    table: Table | None = None

    @classmethod
    def absent(cls, title: str, about: str, reason: str) -> Chart:
        """Return a chart that cannot be drawn, with the reason."""
        return cls(title, about, None, reason)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of a size in CSS pixels."""
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def frame(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Return axes with margins in CSS pixels."""
    width, height = (side * 72 for side in figure.get_size_inches())
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure.add_axes(box)


def to_svg(figure: Figure, name: str, alternative: str) -> Markup:
    """Return a figure as inline SVG.

    Fixed sizes, fonts and colours are removed. Identifiers get the name as prefix, so that several
    charts can share a page.

    Args:
        figure: Drawn within :func:`reeltune.report.charts.style.styled`.
        name: Unique on the page.
        alternative: The text alternative.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The browser has fonts for what matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=no_metadata)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        _adapt(element, name)
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "role": "img", "aria-label": alternative})
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def clean(text: str) -> str:
    """Return text without characters that XML cannot hold or that would break a line."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text)


def shortened(text: str, length: int) -> str:
    """Return text of at most a length; the table beside the chart has all of it."""
    text = clean(text)
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _adapt(element: ElementTree.Element, name: str) -> None:
    """Remove namespaces, prefix identifiers, round coordinates, use the page's colours."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    if element.tag == "g":
        # matplotlib numbers its groups in each figure anew, and nothing refers to them.
        attributes.pop("id", None)
    elif "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    if "href" in attributes:
        attributes["href"] = f"#{name}-{attributes['href'].removeprefix('#')}"
    for key, value in attributes.items():
        if key in _ROUNDED:
            attributes[key] = _DECIMALS.sub(r"\1", value)
        elif key == "clip-path":
            attributes[key] = _REFERENCE.sub(f"url(#{name}-", value)
        elif key == "style":
            plain = _FONT.sub("", value)
            attributes[key] = _COLOUR.sub(lambda match: VARIABLES[match[0]], plain)
    element.attrib.clear()
    element.attrib.update(attributes)
