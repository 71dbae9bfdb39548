"""The style of all charts: colours of the page's theme, and lines and markers of the leads.

matplotlib writes colours as fixed numbers, so the charts are drawn in placeholder colours, and each
is replaced by its CSS variable in the SVG.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib.style

from reeltune.report.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

INK: Final = "#010203"
MUTED: Final = "#010204"
FAINT: Final = "#010205"
ACCENT: Final = "#010206"
PAPER: Final = "#010207"

VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    FAINT: "var(--faint)",
    ACCENT: "var(--accent)",
    PAPER: "var(--paper)",
}
"""The CSS variable of each placeholder colour."""

TEXT_SIZE: Final = 12.5
SMALL_SIZE: Final = 11.5


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
    "tuned": Pen(ACCENT, "solid", "o", True, 7.0),
    "base": Pen(MUTED, (0, (5, 2.5)), "o", False, 6.5),
    "baseline": Pen(INK, (0, (1.2, 1.8)), "D", True, 5.5),
}

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "reeltune",
    # A dollar sign in a label is a dollar sign, not the beginning of a formula.
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
    """Draw in the report's style inside the block, regardless of the user's settings."""
    with matplotlib.style.context(["default", _STYLE]):
        yield
