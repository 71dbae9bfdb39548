"""Values with their intervals, one row each: forest plots and breakdowns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from reeltune.evaluation.intervals import Interval
from reeltune.report.charts.style import FAINT, MUTED, PENS, SMALL_SIZE, TEXT_SIZE
from reeltune.report.charts.svg import WIDTH, clean, frame, new_figure, shortened, to_svg
from reeltune.report.roles import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL: Final = 21.0
_MARK: Final = 14.0
_GAP: Final = 12.0
_LEFT: Final = 22.0
_RIGHT: Final = 72.0
_BELOW: Final = 30.0
_WIDE: Final = WIDTH - _LEFT - _RIGHT
_LEFT_EDGE: Final = -_LEFT / _WIDE
_RIGHT_EDGE: Final = 1 + _RIGHT / _WIDE
"""The edges of the figure in the coordinates of the axes."""
_LONGEST: Final = 44


@dataclass(frozen=True)
class Row:
    """One row of the chart.

    Attributes:
        label: What is measured.
        note: Text at the right end of the label.
        marks: A value for each role; None if undefined.
        undefined: The reason if all are undefined.
    """

    label: str
    note: str
    marks: list[tuple[Role, Interval | None]]
    undefined: str


def draw_rows(rows: list[Row], name: str, alternative: str, difference: bool) -> Markup | None:
    """Draw rows of values with intervals; None if no value is defined.

    Each label is above its marks, not beside them, so that long names fit a phone.

    Args:
        rows: From top to bottom.
        name: Unique on the page.
        alternative: The text alternative.
        difference: Whether the values are differences: zero is drawn, numbers have signs.
    """
    defined = [interval for row in rows for _, interval in row.marks if interval is not None]
    if not defined:
        return None
    tall = sum(_height(row) for row in rows)
    figure = new_figure(tall + _BELOW)
    axes = frame(figure, _LEFT, 0, _RIGHT, _BELOW)
    axes.set_ylim(tall, 0)
    _limit(axes, defined, difference)
    top = 0.0
    for row in rows:
        _label(axes, row, top + _LABEL - 6)
        if not any(interval for _, interval in row.marks):
            _undefined(axes, f"undefined: {row.undefined}", top + _LABEL + _MARK / 2)
        else:
            for i, (role, interval) in enumerate(row.marks):
                _mark(axes, role, interval, top + _LABEL + _MARK * (i + 0.5))
        top += _height(row)
    return to_svg(figure, name, alternative)


def _height(row: Row) -> float:
    drawn = len(row.marks) if any(interval for _, interval in row.marks) else 1
    return _LABEL + _MARK * drawn + _GAP


def _limit(axes: Axes, defined: list[Interval], difference: bool) -> None:
    ends = [interval.value for interval in defined]
    for interval in defined:
        ends += [interval.low, interval.high] if interval.enough_users else []
    if difference:
        ends.append(0.0)
    # At least this wide, so that equal values are not zoomed in to their rounding errors.
    around = max(0.04 * (max(ends) - min(ends)), 0.001)
    low, high = min(ends) - around, max(ends) + around
    axes.set_xlim(low, high)
    steps = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    decimals = max(0, -math.floor(math.log10(steps[1] - steps[0]) + 1e-9))
    ticks = [float(step) for step in steps if low <= step <= high]
    axes.set_xticks(ticks, [_tick(tick, decimals, difference) for tick in ticks])
    if difference:
        axes.axvline(0, color=MUTED, linewidth=1.4, zorder=1)
    axes.set_yticks([])
    axes.spines["bottom"].set_color(FAINT)


def _tick(value: float, decimals: int, difference: bool) -> str:
    if difference and abs(value) < 1e-9:
        return "0"
    text = f"{value:+.{decimals}f}" if difference else f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _label(axes: Axes, row: Row, y: float) -> None:
    across = axes.get_yaxis_transform()
    axes.text(_LEFT_EDGE, y, shortened(row.label, _LONGEST), transform=across, fontsize=TEXT_SIZE)
    axes.text(
        _RIGHT_EDGE, y, clean(row.note), transform=across, ha="right", fontsize=SMALL_SIZE,
        color=MUTED,
    )  # fmt: skip


def _mark(axes: Axes, role: Role, interval: Interval | None, y: float) -> None:
    pen = PENS[role]
    if interval is None:
        _undefined(axes, "undefined", y)
        return
    if interval.enough_users:
        axes.plot([interval.low, interval.high], [y, y], color=pen.color, linewidth=2.2, zorder=2)
    axes.plot([interval.value], [y], linestyle="none", zorder=3, **pen.marks)


def _undefined(axes: Axes, text: str, y: float) -> None:
    across = axes.get_yaxis_transform()
    axes.text(_LEFT_EDGE, y + 4, text, transform=across, fontsize=SMALL_SIZE, color=MUTED)
