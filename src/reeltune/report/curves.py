"""ROC curves, reliability of P(Yes) before and after calibration, and AUC from cold to warm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.metrics import roc_curve

from reeltune.evaluation.predictions import Floats, PredictionTable
from reeltune.evaluation.result import Breakdown, Evaluation, Group, Reliability
from reeltune.evaluation.tables import lead_sentences, undefined_groups
from reeltune.report.metric_labels import NOT_MEASURED, ONE_LABEL
from reeltune.report.roles import Role, Roles
from reeltune.report.svg import (
    FAINT,
    INK,
    MUTED,
    PENS,
    SMALL_SIZE,
    WIDTH,
    Chart,
    Pen,
    frame,
    new_figure,
    shortened,
    styled,
    to_svg,
)
from reeltune.report.tables import (
    Cell,
    Head,
    Table,
    between,
    count,
    counted,
    number,
    percent,
    plain,
    undefined,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS: Final = 300
"""Points of a ROC curve at most; enough to be off by less than a pixel."""

Curve = tuple[Floats, Floats]
"""False and true positive rates of one scorer."""

_HEIGHT: Final = 440.0
_LEFT: Final = 42.0
_TOP: Final = 26.0
_RIGHT: Final = 12.0
_BELOW: Final = 48.0
_STRIP: Final = 78.0
_LEGEND: Final = 84.0
_TICKS: Final = (0, 0.25, 0.5, 0.75, 1)
_TICK_LABELS: Final = [f"{tick:g}" for tick in _TICKS]
_LONGEST: Final = 38
_RATES: Final = (0.05, 0.1, 0.2, 0.5)

_FIFTH: Final = Pen(INK, "solid", "^", False, 5.5)
_RELIABILITY_PENS: Final = (*PENS.values(), _FIFTH)


def thinned(false_rate: Floats, true_rate: Floats, points: int = POINTS) -> Curve:
    """Return some points of a rising curve, evenly along it, its ends among them."""
    along = false_rate + true_rate
    wanted = np.linspace(along[0], along[-1], points - 1)
    kept = np.unique(np.append(np.searchsorted(along, wanted), len(along) - 1))
    return false_rate[kept], true_rate[kept]


@styled()
def roc_chart(predictions: PredictionTable, roles: Roles) -> Chart:
    """Return the ROC curves of all scorers with predictions, the leads emphasized."""
    title = "ROC curves"
    about = (
        "True positive rate against false positive rate of the answer Yes, for every threshold. "
        "The diagonal is guessing."
    )
    liked = predictions.liked
    if liked.all() or not liked.any():
        return Chart(title, about, None, ONE_LABEL if len(liked) else "no rows")
    curves: dict[str, Curve] = {
        scorer.name: roc_curve(liked, predictions.p_yes[scorer.name], drop_intermediate=False)[:2]
        for scorer in roles.ordered
        if scorer.name in predictions.p_yes
    }
    if not curves:
        return Chart(title, about, None, "there are no predictions of these scorers")
    figure = new_figure(_HEIGHT)
    axes = frame(figure, _LEFT, _TOP, _RIGHT, _BELOW)
    _unit_square(axes, "True positive rate", 1.035)
    axes.set_xticks(_TICKS, _TICK_LABELS)
    axes.set_xlabel("False positive rate")
    _draw_curves(axes, {name: thinned(*curve) for name, curve in curves.items()}, roles)
    rows = [
        [
            words(name),
            *(Cell(percent(float(true_rate[false_rate <= rate].max()))) for rate in _RATES),
        ]
        for name, (false_rate, true_rate) in curves.items()
    ]
    texts = "; ".join(f"{row[0].text} {row[2].text}" for row in rows)
    alternative = f"{title}. True positive rate at a false positive rate of 10 %: {texts}."
    heads = [
        Head("True positive rate at", numeric=False),
        *(Head(f"{rate:.0%}", "false positive rate") for rate in _RATES),
    ]
    table = Table("roc", "True positive rate by false positive rate", heads, rows)
    return Chart(title, about, to_svg(figure, "roc", alternative), table=table)


def _unit_square(axes: Axes, label: str, label_y: float) -> None:
    """Prepare axes from 0 to 1 with a diagonal and a label above the y axis."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks(_TICKS, _TICK_LABELS)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.4)
    edge = -_LEFT / (WIDTH - _LEFT - _RIGHT)
    axes.text(edge, label_y, label, transform=axes.transAxes, color=MUTED, fontsize=SMALL_SIZE)


def _draw_curves(
    axes: Axes, curves: dict[str, Curve], roles: Roles, *, marked: bool = False
) -> None:
    """Draw the curves, the model's on top, with a legend; ``marked`` marks every point."""
    handles = []
    leads: dict[Role, str] = {role: s.name for role, s in roles.leads.items() if s.name in curves}
    for name, curve in curves.items():
        if name not in leads.values():
            line = {"color": MUTED, "linewidth": 0.8, "alpha": 0.5}
            points = {"marker": ".", "markersize": 4} if marked else {}
            handles = axes.plot(*curve, **line, **points)
    for handle in handles:
        handle.set_label("every other scorer")
    for role, name in reversed(leads.items()):
        pen = PENS[role]
        line = {"color": pen.color, "linestyle": pen.dashes, "linewidth": 2}
        points = pen.marks if marked else {}
        label = shortened(name, _LONGEST)
        handles += axes.plot(*curves[name], label=label, **line, **points)
    place: dict[str, Any] = {"loc": "lower right"}
    if marked:  # below the axes, since marks may be anywhere within
        place = {
            "loc": "lower left",
            "bbox_to_anchor": (0, 0),
            "bbox_transform": axes.figure.transFigure,
        }
    axes.legend(handles=handles[::-1], **place)


@styled()
def reliability_chart(reliabilities: list[Reliability], roles: Roles) -> Chart:
    """Return the reliability diagram with a histogram of rows, uncalibrated first."""
    title = f"Reliability of {_measured(roles)}"
    about = (
        "Share of Yes against mean P(Yes) in bins of P(Yes). On the diagonal P(Yes) is "
        "calibrated, below it P(Yes) is too high. The bars count rows."
    )
    if not any(b.rows for reliability in reliabilities for b in reliability.bins):
        return Chart(title, about, None, "no calibration was measured")
    figure = new_figure(_HEIGHT)
    diagram = frame(figure, _LEFT, _TOP, _RIGHT, _BELOW + _STRIP + 14)
    histogram = frame(figure, _LEFT, _HEIGHT - _BELOW - _STRIP, _RIGHT, _BELOW)
    _unit_square(diagram, "Share of rows that are Yes", 1.05)
    diagram.set_xticks(_TICKS, [""] * len(_TICKS))
    _draw_reliability(diagram, reliabilities)
    _draw_histogram(histogram, reliabilities)
    texts = "; ".join(f"{r.name}, ECE {number(r.ece)}" for r in reliabilities)
    drawing = to_svg(figure, "reliability", f"Reliability diagram. {texts}.")
    return Chart(title, about, drawing, table=_bins_table(reliabilities))


def _draw_reliability(axes: Axes, reliabilities: list[Reliability]) -> None:
    for reliability, pen in zip(reliabilities, _RELIABILITY_PENS, strict=False):
        bins = [b for b in reliability.bins if b.rows]
        mean_p_yes = np.array([b.mean_p_yes for b in bins], dtype=np.float64)
        positive_rate = np.array([b.positive_rate for b in bins], dtype=np.float64)
        line = {"color": pen.color, "linestyle": pen.dashes, "linewidth": 1.6, **pen.marks}
        axes.plot(mean_p_yes, positive_rate, label=shortened(reliability.name, _LONGEST), **line)
    axes.legend(loc="upper left")


def _draw_histogram(axes: Axes, reliabilities: list[Reliability]) -> None:
    """Draw the rows of each bin: bars before calibration, outlines after it."""
    largest = max(b.rows for reliability in reliabilities for b in reliability.bins)
    axes.set_xlim(0, 1)
    axes.set_xticks(_TICKS, _TICK_LABELS)
    axes.set_xlabel("P(Yes)")
    axes.set_ylim(0, largest * 1.05)
    axes.set_yticks([0, largest], ["0", count(largest)])
    for i, (reliability, pen) in enumerate(zip(reliabilities, _RELIABILITY_PENS, strict=False)):
        edges = [reliability.bins[0].low, *(b.high for b in reliability.bins)]
        rows = [b.rows for b in reliability.bins]
        if i == 0:
            axes.stairs(rows, edges, fill=True, color=pen.color, alpha=0.35, linewidth=0)
        else:
            axes.stairs(rows, edges, color=pen.color, linestyle=pen.dashes, linewidth=1.2)


def _bins_table(reliabilities: list[Reliability]) -> Table:
    rows = [
        [
            words(f"{b.low:.2f} to {b.high:.2f}", reliability.name),
            Cell(count(b.rows)),
            plain(b.mean_p_yes, "no rows"),
            plain(b.positive_rate, "no rows"),
        ]
        for reliability in reliabilities
        for b in reliability.bins
    ]
    heads = [
        Head("P(Yes)", numeric=False),
        *(Head(text) for text in ("Rows", "Mean P(Yes)", "Share of Yes")),
    ]
    return Table("reliability", "Rows, mean P(Yes) and share of Yes in each bin", heads, rows)


def _measured(roles: Roles) -> str:
    alone = " and of the model alone" if roles.shipped is not None else ""
    return roles.model_label + alone


def calibration_table(reliabilities: list[Reliability], roles: Roles) -> Table:
    """Return what calibration does to the metrics of the level of P(Yes)."""
    rows = [
        [
            words(r.name),
            Cell(number(r.ece)),
            Cell(number(r.ece_by_chance), f"to {number(r.ece_by_chance_high)}"),
            Cell(number(r.log_loss)),
            Cell(number(r.brier)),
        ]
        for r in reliabilities
    ]
    heads = [
        Head(f"P(Yes) of {_measured(roles)}", numeric=False),
        Head("ECE", "lower is better"),
        Head("ECE by chance", "if calibrated; 95th percentile"),
        *(Head(text, "lower is better") for text in ("Log loss", "Brier")),
    ]
    caption = "How well P(Yes) is calibrated, without and with calibration."
    return Table("calibration", caption, heads, rows)


@styled()
def cold_to_warm_chart(evaluation: Evaluation, roles: Roles, index: int) -> Chart:
    """Return the AUC of every scorer by how much is known, the leads with their intervals."""
    breakdown = evaluation.cold_to_warm[index]
    title, name = f"By {breakdown.name}", f"cold-to-warm-{index}"
    table = _cold_to_warm_table(breakdown, roles, name)
    drawn = [group for group in breakdown.groups if not group.undefined]
    if not drawn:
        missing = "no group has enough rows with both labels"
        return Chart(title, breakdown.about, None, missing, table)
    sentences = (*lead_sentences(evaluation, breakdown), *undefined_groups(breakdown))
    about = " ".join([breakdown.about, *sentences])
    figure = new_figure(_HEIGHT)
    axes = frame(figure, _LEFT, _TOP, _RIGHT, _BELOW + _LEGEND)
    values = {s.name: _aucs(breakdown.groups, s.name) for s in roles.ordered}
    for role, scorer in roles.leads.items():
        _, low, high = values[scorer.name]
        places = np.arange(len(low))
        axes.fill_between(places, low, high, color=PENS[role].color, alpha=0.14, linewidth=0)
        # A band of a single group has no width.
        axes.vlines(places, low, high, color=PENS[role].color, alpha=0.5, linewidth=1)
    curves: dict[str, Curve] = {
        scorer: (np.arange(len(auc), dtype=np.float64), auc)
        for scorer, (auc, _, _) in values.items()
    }
    _draw_curves(axes, curves, roles, marked=True)
    labels = [group.label.replace(" to ", "\N{EN DASH}") for group in breakdown.groups]
    axes.set_xticks(range(len(labels)), [label.replace(" and more", "+") for label in labels])
    axes.set_xlim(-0.3, len(labels) - 0.7)
    axes.set_xlabel(breakdown.name.capitalize())
    edge = -_LEFT / (WIDTH - _LEFT - _RIGHT)
    axes.text(edge, 1.035, "AUC", transform=axes.transAxes, color=MUTED, fontsize=SMALL_SIZE)
    texts = "; ".join(
        f"{role} at {group.label} {number(auc.value)}, {between(auc)}"
        for role, scorer in roles.leads.items()
        for group in drawn
        if (auc := group.auc.get(scorer.name)) is not None
    )
    return Chart(title, about, to_svg(figure, name, f"AUC. {title}: {texts}."), table=table)


def _aucs(groups: list[Group], scorer: str) -> tuple[Floats, Floats, Floats]:
    """Return the AUC of each group and the ends of its interval; NaN where there is none."""
    rows = []
    for group in groups:
        auc = group.auc.get(scorer)
        ends = (auc.low, auc.high) if auc is not None and auc.enough_users else (np.nan, np.nan)
        rows.append((np.nan if auc is None else auc.value, *ends))
    auc, low, high = np.array(rows, dtype=np.float64).T
    return auc, low, high


def _cold_to_warm_table(breakdown: Breakdown, roles: Roles, name: str) -> Table:
    def cell(group: Group, scorer: str) -> Cell:
        auc, log_loss = group.auc.get(scorer), group.log_loss.get(scorer)
        if auc is None or log_loss is None:
            return undefined(group.undefined or NOT_MEASURED)
        return Cell(number(auc.value), f"{between(auc)}; log loss {number(log_loss.value)}")

    heads = [Head(group.label, counted(group.rows, "row")) for group in breakdown.groups]
    rows = [
        [words(s.name), *(cell(group, s.name) for group in breakdown.groups)] for s in roles.ordered
    ]
    caption = f"AUC with its 95 % interval, and log loss in nats, by {breakdown.name}"
    return Table(name, caption, [Head("Scorer", numeric=False), *heads], rows)
