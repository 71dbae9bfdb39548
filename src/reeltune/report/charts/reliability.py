"""Reliability of P(Yes) before and after calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from reeltune.evaluation.result import Reliability
from reeltune.report.charts.style import FAINT, INK, MUTED, PENS, SMALL_SIZE, Pen, styled
from reeltune.report.charts.svg import WIDTH, Chart, frame, new_figure, shortened, to_svg
from reeltune.report.roles import Roles
from reeltune.report.tables import Cell, Head, Table, count, number, plain, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT: Final = 440.0
_STRIP: Final = 78.0
_BELOW: Final = 48.0
_LEFT: Final = 42.0
_RIGHT: Final = 12.0
_LONGEST: Final = 34
_ANOTHER: Final = Pen(INK, (0, (6, 2, 1.2, 2)), "s", False, 5.5)
_PENS: Final = (PENS["tuned"], PENS["baseline"], PENS["base"], _ANOTHER)
"""Of the lines; the uncalibrated model looks as in the other charts."""

_ABOUT: Final = (
    "Share of Yes against mean P(Yes) in bins of P(Yes). On the diagonal P(Yes) is calibrated, "
    "below it P(Yes) is too high. The bars count rows."
)


@styled()
def reliability_chart(found: list[Reliability], roles: Roles) -> Chart:
    """Return the reliability diagram with a histogram of rows, uncalibrated first."""
    title = f"Reliability of {roles.model_label}"
    if not any(b.rows for reliability in found for b in reliability.bins):
        return Chart.absent(title, _ABOUT, "no calibration was measured")
    figure = new_figure(_HEIGHT)
    diagram = frame(figure, _LEFT, 26, _RIGHT, _BELOW + _STRIP + 14)
    strip = frame(figure, _LEFT, _HEIGHT - _BELOW - _STRIP, _RIGHT, _BELOW)
    _prepare(diagram, strip)
    _draw(diagram, found)
    _histogram(strip, found)
    in_words = "; ".join(f"{r.name}, ECE {number(r.ece)}" for r in found)
    drawing = to_svg(figure, "reliability", f"Reliability diagram. {in_words}.")
    return Chart(title, _ABOUT, drawing, table=_bins_table(found))


def calibration_table(found: list[Reliability], roles: Roles) -> Table:
    """Return what calibration does to the metrics of the level of P(Yes)."""
    rows = [
        [
            words(r.name),
            Cell(number(r.ece)),
            Cell(number(r.ece_by_chance), f"to {number(r.ece_by_chance_high)}"),
            Cell(number(r.log_loss)),
            Cell(number(r.brier)),
        ]
        for r in found
    ]
    heads = [
        Head(f"P(Yes) of {roles.model_label}", numeric=False),
        Head("ECE", "lower is better"),
        Head("ECE by chance", "if calibrated; 95th percentile"),
        *(Head(text, "lower is better") for text in ("Log loss", "Brier")),
    ]
    return Table(
        "calibration", "How well P(Yes) is calibrated, without and with calibration.", heads, rows
    )


def _bins_table(found: list[Reliability]) -> Table:
    rows = [
        [
            words(f"{b.low:.2f} to {b.high:.2f}", reliability.name),
            Cell(count(b.rows)),
            plain(b.mean_p_yes, "no rows"),
            plain(b.positive_rate, "no rows"),
        ]
        for reliability in found
        for b in reliability.bins
    ]
    heads = [
        Head("P(Yes)", numeric=False),
        *(Head(text) for text in ("Rows", "Mean P(Yes)", "Share of Yes")),
    ]
    return Table("reliability", "Rows, mean P(Yes) and share of Yes in each bin", heads, rows)


def _prepare(diagram: Axes, strip: Axes) -> None:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    labels = [f"{tick:g}" for tick in ticks]
    for axes in (diagram, strip):
        axes.set_xlim(0, 1)
    diagram.set_xticks(ticks, [""] * len(ticks))
    diagram.set_ylim(0, 1)
    diagram.set_yticks(ticks, labels)
    diagram.plot([0, 1], [0, 1], color=FAINT, linewidth=1.4)
    edge, place = -_LEFT / (WIDTH - _LEFT - _RIGHT), diagram.transAxes
    text = "Share of rows that are Yes"
    diagram.text(edge, 1.05, text, transform=place, color=MUTED, fontsize=SMALL_SIZE)
    strip.set_xticks(ticks, labels)
    strip.set_xlabel("P(Yes)")


def _drawn(found: list[Reliability]) -> list[tuple[Reliability, Pen]]:
    return list(zip(found, _PENS[: len(found)], strict=True))


def _draw(diagram: Axes, found: list[Reliability]) -> None:
    for reliability, pen in _drawn(found):
        full = [b for b in reliability.bins if b.rows]
        mean_p_yes = np.array([b.mean_p_yes for b in full], dtype=np.float64)
        positive_rate = np.array([b.positive_rate for b in full], dtype=np.float64)
        line = {"color": pen.color, "linestyle": pen.dashes, "linewidth": 1.6, **pen.marks}
        diagram.plot(mean_p_yes, positive_rate, label=shortened(reliability.name, _LONGEST), **line)
    diagram.legend(loc="upper left")


def _histogram(strip: Axes, found: list[Reliability]) -> None:
    """Draw the rows of each bin: bars before calibration, outlines after it."""
    largest = max(b.rows for reliability in found for b in reliability.bins)
    strip.set_ylim(0, largest * 1.05)
    strip.set_yticks([0, largest], ["0", count(largest)])
    for place, (reliability, pen) in enumerate(_drawn(found)):
        edges = [reliability.bins[0].low, *(b.high for b in reliability.bins)]
        rows = [b.rows for b in reliability.bins]
        if place == 0:
            strip.stairs(rows, edges, fill=True, color=pen.color, alpha=0.35, linewidth=0)
        else:
            strip.stairs(rows, edges, color=pen.color, linestyle=pen.dashes, linewidth=1.2)
