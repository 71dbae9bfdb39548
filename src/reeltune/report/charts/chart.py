"""A chart as the template shows it: the drawing, its words and its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from reeltune.report.grids import Grid


@dataclass(frozen=True)
class Chart:
    """One figure of the report.

    Attributes:
        title: What it shows.
        about: How to read it, in a sentence or two.
        drawing: Inline SVG; None where there is nothing to draw.
        missing: Why there is nothing to draw; empty where there is a drawing.
        grid: Its numbers; None where there is nothing to draw.
    """

    title: str
    about: str
    drawing: Markup | None
    missing: str = ""
    grid: Grid | None = None

    @classmethod
    def absent(cls, title: str, about: str, reason: str) -> Chart:
        """Return a figure that says why it cannot be drawn."""
        return cls(title, about, None, reason)
