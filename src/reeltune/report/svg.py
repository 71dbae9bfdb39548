"""Charts as inline SVG that takes its colours, fonts and width from the page.

matplotlib writes colours as fixed numbers, so the charts are drawn in placeholder colours, and each
is replaced by its CSS variable in the SVG.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure

from reeltune.report.roles import Role
from reeltune.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 420.0
"""CSS pixels of a chart in one of two columns; a phone shows it a fifth smaller."""

INK: Final = "#010203"
MUTED: Final = "#010204"
FAINT: Final = "#010205"
ACCENT: Final = "#010206"
PAPER: Final = "#010207"

_VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    FAINT: "var(--faint)",
    ACCENT: "var(--accent)",
    PAPER: "var(--paper)",
}

TEXT_SIZE: Final = 12.5
SMALL_SIZE: Final = 11.5

_DECIMALS: Final = re.compile(r"(\.\d\d)\d+")
_FONT: Final = re.compile(r"font-family:[^;]*;?\s*")
_COLOR: Final = re.compile("|".join(_VARIABLES))
_ROUNDED: Final = ("d", "x", "y", "width", "height", "points", "transform")


@dataclass(frozen=True)
class Chart:
    """A chart as the template shows it.

    Attributes:
        title: What it shows.
        about: How to read it.
        drawing: Inline SVG; None if there is nothing to draw.
        missing: Why there is nothing to draw.
        table: Its numbers.
    """

    title: str
    about: str
    drawing: Markup | None
    missing: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Pen:
    """Line and marker of a lead, which differ by more than colour; sizes in points."""

    color: str
    dashes: Any
    marker: str
    filled: bool
    size: float

    @property
    def marks(self) -> dict[str, Any]:
        """The marker as keywords of ``Axes.plot``."""
        return {
            "marker": self.marker,
            "markersize": self.size,
            "markerfacecolor": self.color if self.filled else PAPER,
            "markeredgecolor": self.color,
            "markeredgewidth": 1.6,
        }


PENS: Final[dict[Role, Pen]] = {
    "shipped": Pen(ACCENT, "solid", "o", True, 7.0),
    "tuned": Pen(ACCENT, (0, (6, 2, 1.2, 2)), "s", False, 5.5),
    "base": Pen(MUTED, (0, (5, 2.5)), "o", False, 6.5),
    "baseline": Pen(INK, (0, (1.2, 1.8)), "D", True, 5.5),
}

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "reeltune",
    # A dollar sign in a label does not begin a formula.
    "text.parse_math": False,
    "font.size": TEXT_SIZE,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SMALL_SIZE,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.pad": 5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": SMALL_SIZE,
    "legend.handlelength": 2.4,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the report's style, regardless of the user's matplotlib settings."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of a size in CSS pixels."""
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def frame(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Return axes with margins in CSS pixels."""
    width, height = (side * 72 for side in figure.get_size_inches())
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure.add_axes(box)


def to_svg(figure: Figure, name: str, alternative: str) -> Markup:
    """Return a figure drawn within :func:`styled` as inline SVG.

    Identifiers get the name, unique on the page, as prefix, so that charts can share a page.
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
    root.attrib.update({"viewBox": view, "role": "img", "aria-label": clean(alternative)})
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def clean(text: str) -> str:
    """Replace characters that XML cannot hold or that would break a line by spaces."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text)


def shortened(text: str, length: int) -> str:
    """Return clean text of at most a length; the table beside the chart has all of it."""
    text = clean(text)
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _adapt(element: ElementTree.Element, name: str) -> None:
    """Remove namespaces and fonts, prefix identifiers, round coordinates, use CSS variables."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    if element.tag == "g":
        # matplotlib numbers its groups in each figure anew, and nothing refers to them.
        attributes.pop("id", None)
    for key, value in attributes.items():
        if key in _ROUNDED:
            attributes[key] = _DECIMALS.sub(r"\1", value)
        elif key == "id":
            attributes[key] = f"{name}-{value}"
        elif key == "href":
            attributes[key] = f"#{name}-{value.removeprefix('#')}"
        elif key == "clip-path":
            attributes[key] = value.replace("url(#", f"url(#{name}-")
        elif key == "style":
            attributes[key] = _COLOR.sub(lambda match: _VARIABLES[match[0]], _FONT.sub("", value))
    element.attrib.clear()
    element.attrib.update(attributes)
