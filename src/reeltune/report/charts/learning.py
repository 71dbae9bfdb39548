"""Training and validation curves of the run that made the adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from matplotlib.ticker import MaxNLocator

from reeltune.report.charts.chart import Chart
from reeltune.report.charts.ink import ACCENT, INK, MUTED, PAPER, SMALL_SIZE, inked
from reeltune.report.charts.sheet import frame, new_sheet, to_svg
from reeltune.report.grids import Cell, Grid, Head, words
from reeltune.report.numbers import count, number
from reeltune.report.training import Curve, TrainingCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT: Final = 235.0
_WIDTH: Final = 330.0
_POINTS: Final = 300
_LISTED: Final = 60
_DOTTED: Final = 30
"""Curves of at most so many points show each of them."""
_VALIDATION: Final = (
    ("auc", "Validation AUC", "Higher is better."),
    ("log_loss", "Validation log loss", "In nats; lower is better."),
)


def learning_charts(curves: TrainingCurves) -> list[Chart]:
    """Return the training loss, and what validation rows said as training went on."""
    loss = _curve("Training loss", "In nats, as logged.", "loss", curves.loss, curves.kept_step)
    return [
        loss,
        *(
            _curve(
                title, about, f"validation-{key}", curves.validation.get(key, []), curves.kept_step
            )
            for key, title, about in _VALIDATION
        ),
    ]


def spread(curve: Curve, points: int) -> Curve:
    """Return at most so many points of a curve, evenly spread, its ends among them."""
    if len(curve) <= points:
        return curve
    step = (len(curve) - 1) / (points - 1)
    return [curve[round(place * step)] for place in range(points)]


@inked()
def _curve(title: str, about: str, name: str, curve: Curve, kept_step: int | None) -> Chart:
    if not curve:
        return Chart.absent(title, about, "the run has not recorded it")
    listed = spread(curve, _LISTED)
    figure = new_sheet(_HEIGHT, _WIDTH)
    axes = frame(figure, left=40, top=26, right=10, bottom=46)
    _draw(axes, spread(curve, _POINTS))
    if kept_step is not None:
        _mark_kept(axes, kept_step)
    (first, began), (last, ended) = curve[0], curve[-1]
    alternative = f"{title}: {number(began)} at step {first}, {number(ended)} at step {last}."
    caption = title if len(listed) == len(curve) else f"{title}, {_LISTED} of {len(curve)} points"
    grid = Grid(
        name,
        caption,
        [Head("Step", numeric=False), Head(title)],
        [[words(count(step)), Cell(number(value))] for step, value in listed],
    )
    return Chart(title, about, to_svg(figure, name, alternative), grid=grid)


def _draw(axes: Axes, curve: Curve) -> None:
    line: dict[str, Any] = {"color": ACCENT, "linewidth": 1.8}
    if len(curve) <= _DOTTED:
        line |= {"marker": "o", "markersize": 5, "markeredgecolor": PAPER, "markeredgewidth": 1}
    axes.plot([step for step, _ in curve], [value for _, value in curve], **line)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.03, y=0.1)
    axes.set_xlabel("Step")


def _mark_kept(axes: Axes, step: int) -> None:
    axes.axvline(step, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    above, side = axes.get_xaxis_transform(), _side(step, *axes.get_xlim())
    text = f"kept: step {step}"
    axes.text(step, 1.03, text, transform=above, ha=side, color=MUTED, fontsize=SMALL_SIZE)


def _side(step: float, low: float, high: float) -> Literal["left", "center", "right"]:
    """Return how a label above a step is set so that it stays within the chart."""
    place = (step - low) / (high - low)
    return "right" if place > 0.7 else "left" if place < 0.3 else "center"
