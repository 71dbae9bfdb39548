"""Learning curves: training loss and validation metrics of the run that made the adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import MaxNLocator

from reeltune.errors import RunError, one_line
from reeltune.files import read_object
from reeltune.report.svg import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    SMALL_SIZE,
    Chart,
    frame,
    new_figure,
    styled,
    to_svg,
)
from reeltune.report.tables import Cell, Head, Table, count, number, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = list[tuple[int, float]]
"""Steps with the value at each, ascending."""

_HEIGHT: Final = 235.0
_WIDTH: Final = 330.0
_POINTS: Final = 300
_LISTED: Final = 60
_DOTTED: Final = 30
_VALIDATION: Final = (
    ("auc", "Validation AUC", "Higher is better."),
    ("log_loss", "Validation log loss", "In nats; lower is better."),
)


@dataclass(frozen=True)
class TrainingCurves:
    """Learning curves of a run.

    Attributes:
        loss: Training loss in nats.
        validation: Metrics of the validation rows by name (``auc``, ``log_loss``), where defined.
        kept_step: The step whose adapter was kept; None without an evaluation.
    """

    loss: Curve
    validation: dict[str, Curve]
    kept_step: int | None

    @classmethod
    def read(cls, path: Path) -> TrainingCurves:
        """Return the curves from a run's ``metrics.json``.

        Raises:
            RunError: There is none, or it holds something else.
        """
        if not path.is_file():
            raise RunError(
                "there are no metrics of a training run here",
                code="no_training_metrics",
                where=str(path),
                hint="Run: reeltune train",
            )
        try:
            metrics = read_object(path)
            validation: dict[str, Curve] = {}
            for entry in metrics["evaluations"]:
                for key, value in entry.items():
                    if key.startswith("eval_") and value is not None:
                        curve = validation.setdefault(key.removeprefix("eval_"), [])
                        curve.append((int(entry["step"]), float(value)))
            loss = [(int(entry["step"]), float(entry["loss"])) for entry in metrics["losses"]]
            kept = metrics["best_step"] if metrics["evaluations"] else None
            return cls(loss, validation, int(kept) if kept else None)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else one_line(error)
            raise RunError(
                f"not the metrics of a training run ({reason})",
                code="invalid_training_metrics",
                where=str(path),
                hint="Copy the file again from where the run was trained, or train again",
            ) from error


def learning_charts(curves: TrainingCurves) -> list[Chart]:
    """Return the charts of the training loss and of the validation metrics."""
    charts = [_chart("Training loss", "In nats, as logged.", "loss", curves.loss, curves.kept_step)]
    for key, title, about in _VALIDATION:
        curve = curves.validation.get(key, [])
        charts.append(_chart(title, about, f"validation-{key}", curve, curves.kept_step))
    return charts


def spread(curve: Curve, points: int) -> Curve:
    """Return some points of a curve, evenly spread, its ends among them."""
    if len(curve) <= points:
        return curve
    step = (len(curve) - 1) / (points - 1)
    return [curve[round(i * step)] for i in range(points)]


@styled()
def _chart(title: str, about: str, name: str, curve: Curve, kept_step: int | None) -> Chart:
    if not curve:
        return Chart(title, about, None, "the run did not record it")
    figure = new_figure(_HEIGHT, _WIDTH)
    axes = frame(figure, left=40, top=26, right=10, bottom=46)
    _draw(axes, spread(curve, _POINTS))
    if kept_step is not None:
        _mark_kept(axes, kept_step)
    (first, began), (last, ended) = curve[0], curve[-1]
    alternative = f"{title}: {number(began)} at step {first}, {number(ended)} at step {last}."
    listed = spread(curve, _LISTED)
    caption = title if len(listed) == len(curve) else f"{title}, {_LISTED} of {len(curve)} points"
    heads = [Head("Step", numeric=False), Head(title)]
    rows = [[words(count(step)), Cell(number(value))] for step, value in listed]
    table = Table(name, caption, heads, rows)
    return Chart(title, about, to_svg(figure, name, alternative), table=table)


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
    low, high = axes.get_xlim()
    share = (step - low) / (high - low)
    # Keeps the label within the chart.
    side = "right" if share > 0.7 else "left" if share < 0.3 else "center"
    style = {"ha": side, "color": MUTED, "fontsize": SMALL_SIZE}
    axes.text(step, 1.03, f"kept: step {step}", transform=axes.get_xaxis_transform(), **style)
