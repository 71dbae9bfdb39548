"""ROC curves of every scorer, thinned so that the page stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.metrics import roc_curve

from reeltune.evaluation.predictions import Floats, PredictionTable
from reeltune.report.charts.style import FAINT, MUTED, PENS, SMALL_SIZE, styled
from reeltune.report.charts.svg import WIDTH, Chart, frame, new_figure, shortened, to_svg
from reeltune.report.metric_labels import ONE_LABEL
from reeltune.report.roles import Role, Roles
from reeltune.report.tables import Cell, Head, Table, percent, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS: Final = 300
"""Points of a curve at most; enough to be off by less than a pixel."""

Curve = tuple[Floats, Floats]
"""False and true positive rates of one scorer."""

_HEIGHT: Final = 440.0
_LEFT: Final = 42.0
_RIGHT: Final = 12.0
_LIMITS: Final = (0.05, 0.1, 0.2, 0.5)
_LONGEST: Final = 38
_TITLE: Final = "ROC curves"
_ABOUT: Final = (
    "True positive rate against false positive rate of the answer Yes, for every threshold. The "
    "diagonal is guessing."
)


def thinned(false_rate: Floats, true_rate: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """Return some points of a rising curve, evenly along it, its ends among them."""
    along = false_rate + true_rate
    wanted = np.linspace(along[0], along[-1], points - 1)
    kept = np.unique(np.append(np.searchsorted(along, wanted), len(along) - 1))
    return false_rate[kept], true_rate[kept]


@styled()
def roc_chart(predictions: PredictionTable, roles: Roles) -> Chart:
    """Return the ROC curves of all scorers with predictions, the leads emphasized."""
    liked = predictions.liked
    if liked.all() or not liked.any():
        return Chart.absent(_TITLE, _ABOUT, ONE_LABEL if len(liked) else "no rows")
    curves: dict[str, Curve] = {
        scorer.name: roc_curve(liked, predictions.p_yes[scorer.name], drop_intermediate=False)[:2]
        for scorer in roles.ordered
        if scorer.name in predictions.p_yes
    }
    if not curves:
        return Chart.absent(_TITLE, _ABOUT, "there are no predictions of these scorers")
    figure = new_figure(_HEIGHT)
    axes = frame(figure, left=_LEFT, top=26, right=_RIGHT, bottom=48)
    _prepare(axes)
    _draw(axes, curves, roles)
    rows = [[words(name), *_found(*curve)] for name, curve in curves.items()]
    in_words = "; ".join(f"{row[0].text} {row[2].text}" for row in rows)
    alternative = f"{_TITLE}. True positive rate at a false positive rate of 10 %: {in_words}."
    heads = [
        Head("True positive rate at", numeric=False),
        *(Head(f"{limit:.0%}", "false positive rate") for limit in _LIMITS),
    ]
    table = Table("roc", "True positive rate by false positive rate", heads, rows)
    return Chart(_TITLE, _ABOUT, to_svg(figure, "roc", alternative), table=table)


def _found(false_rate: Floats, true_rate: Floats) -> list[Cell]:
    return [Cell(percent(float(true_rate[false_rate <= limit].max()))) for limit in _LIMITS]


def _prepare(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.4)
    axes.set_xlabel("False positive rate")
    edge = -_LEFT / (WIDTH - _LEFT - _RIGHT)
    text = "True positive rate"
    axes.text(edge, 1.035, text, transform=axes.transAxes, color=MUTED, fontsize=SMALL_SIZE)


def _draw(axes: Axes, curves: dict[str, Curve], roles: Roles) -> None:
    """Draw the curves, the tuned model's on top, with a legend."""
    handles = []
    leads: dict[Role, str] = {r: s.name for r, s in roles.leads.items() if s.name in curves}
    others = [curve for name, curve in curves.items() if name not in leads.values()]
    for curve in others:
        handles = axes.plot(*thinned(*curve), color=MUTED, linewidth=0.8, alpha=0.5)
    for handle in handles:
        handle.set_label("every other scorer")
    for role, name in reversed(leads.items()):
        pen = PENS[role]
        label = shortened(name, _LONGEST)
        line = {"color": pen.color, "linestyle": pen.dashes, "linewidth": 2}
        handles += axes.plot(*thinned(*curves[name]), label=label, **line)
    axes.legend(handles=handles[::-1], loc="lower right")
