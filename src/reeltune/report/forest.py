"""Values with their intervals, one row each: forest plots of differences, ablations, breakdowns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Ablation, Breakdown, Evaluation
from reeltune.report.metric_labels import AUC, METRIC_LABELS, NOT_MEASURED, ONE_LABEL, MetricLabel
from reeltune.report.roles import Role, Roles
from reeltune.report.svg import (
    FAINT,
    MUTED,
    PENS,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    Chart,
    clean,
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
    signed,
    signed_between,
    valued,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FOREST: Final = ("auc", "auc_per_user_mean", "ndcg_at_10", "log_loss")

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


Mark = tuple[Role, Interval | None]


@dataclass(frozen=True)
class Row:
    """One row of a chart.

    Attributes:
        label: What is measured.
        note: Text at the right end of the label.
        marks: A value for each role; None if undefined.
        undefined: The reason if all are undefined.
    """

    label: str
    note: str
    marks: list[Mark]
    undefined: str

    @classmethod
    def of(
        cls,
        label: str,
        interval: Interval | None,
        undefined: str,
        formatted: Callable[[float], str],
        role: Role,
    ) -> Row:
        """Return a row of one value, which is also its note."""
        note = "" if interval is None else formatted(interval.value)
        return cls(label, note, [(role, interval)], undefined)

    def in_words(self, formatted: Callable[[float], str]) -> str:
        """Return the row for the text alternative."""
        values = (
            f"{role} undefined"
            if interval is None
            else f"{role} {formatted(interval.value)}, {between(interval, formatted)}"
            for role, interval in self.marks
        )
        return f"{self.label}, {', '.join(values)}"

    @property
    def defined(self) -> list[Interval]:
        """The values that are defined."""
        return [interval for _, interval in self.marks if interval is not None]

    @property
    def height(self) -> float:
        """Height in CSS pixels."""
        return _LABEL + _MARK * (len(self.marks) if self.defined else 1) + _GAP


@styled()
def answer_chart(roles: Roles) -> Chart:
    """Return the AUC of the leads."""
    about = "With 95 % intervals over users. Higher is better, 0.5 is guessing."
    rows, cells = [], []
    for role, scorer in roles.leads.items():
        auc, reason = scorer.metrics.get(AUC.key), AUC.reason(scorer.metrics)
        rows.append(Row.of(scorer.name, auc, reason, number, role))
        cells.append([words(scorer.name), valued(auc, reason)])
    drawing = draw_rows(rows, "answer", AUC.label)
    if drawing is None:
        missing = rows[0].undefined if rows else "no model was evaluated"
        return Chart(AUC.label, about, None, missing)
    heads = [Head("Scorer", numeric=False), Head(AUC.label, "95 % interval")]
    return Chart(AUC.label, about, drawing, table=Table("answer", AUC.label, heads, cells))


def forests(evaluation: Evaluation, roles: Roles) -> list[Chart]:
    """Return the model minus every other scorer: one forest plot for each main metric."""
    return [
        _forest(metric, evaluation, roles)
        for metric in METRIC_LABELS
        if metric.key in _FOREST and any(metric.key in d.metrics for d in evaluation.differences)
    ]


@styled()
def _forest(metric: MetricLabel, evaluation: Evaluation, roles: Roles) -> Chart:
    rows, cells, role = [], [], next(iter(roles.leads))
    for difference in roles.sorted(evaluation.differences):
        if difference.scorer != evaluation.main:
            continue
        interval, reason = difference.metrics.get(metric.key), metric.reason(difference.metrics)
        rows.append(Row.of(difference.other, interval, reason, signed, role))
        cells.append([words(difference.other), valued(interval, reason, signed)])
    name, title = f"forest-{metric.key}", f"{metric.label}: {roles.minus_label} each other scorer"
    about = (
        f"{'Right' if metric.higher_is_better else 'Left'} of zero {roles.model_label} is better."
    )
    drawing = draw_rows(rows, name, title, difference=True)
    if drawing is None:
        return Chart(title, about, None, metric.undefined)
    heads = [Head(roles.minus_label, numeric=False), Head("Difference", "95 % interval")]
    return Chart(title, about, drawing, table=Table(name, title, heads, cells))


@styled()
def ablations_chart(ablations: list[Ablation]) -> Chart:
    """Return the change in AUC of each ablation."""
    title = "Change in AUC"
    about = (
        "AUC with the change minus AUC without it, on the same rows. Left of zero: the model uses "
        "what was removed."
    )
    rows = [Row.of(a.name, a.difference, ONE_LABEL, signed, "tuned") for a in ablations]
    drawing = draw_rows(rows, "ablations", title, difference=True)
    heads = [
        Head("Ablation", numeric=False),
        Head("Rows"),
        Head("AUC", "with the change"),
        Head("Difference", "95 % interval"),
    ]
    cells = [
        [
            words(a.name, a.about),
            Cell(count(a.rows)),
            valued(a.auc, ONE_LABEL),
            valued(a.difference, ONE_LABEL, signed),
        ]
        for a in ablations
    ]
    missing = "" if drawing is not None else ONE_LABEL
    return Chart(title, about, drawing, missing, Table("ablations", title, heads, cells))


@styled()
def breakdown_chart(breakdown: Breakdown, roles: Roles, index: int) -> Chart:
    """Return the AUC of the leads within each group; the index makes the chart's name unique."""
    rows, cells = [], []
    for group in breakdown.groups:
        marks: list[Mark] = [(role, group.auc.get(s.name)) for role, s in roles.leads.items()]
        reason = "one label only" if group.rows else "no rows"
        rows.append(Row(group.label, counted(group.rows, "row"), marks, reason))
        auc = []
        for name in (scorer.name for scorer in roles.leads.values()):
            cell = valued(group.auc.get(name), reason if name in group.auc else NOT_MEASURED)
            if (lead := group.lead.get(name)) is not None:
                ends = f"{signed(lead.value)}, {signed_between(lead)}"
                cell = replace(cell, note=f"{cell.note}; lead {ends}")
            auc.append(cell)
        share = plain(group.positive_rate, "no rows", percent)
        size = [Cell(count(group.rows)), Cell(count(group.users))]
        cells.append([words(group.label), *size, share, *auc])
    title, name = f"By {breakdown.name}", f"breakdown-{index}"
    drawing = draw_rows(rows, name, f"AUC within groups. {title}")
    if drawing is None:
        return Chart(title, breakdown.about, None, "no group has rows with both labels")
    heads = [
        Head("Group", numeric=False),
        *(Head(text) for text in ("Rows", "Users", "Share of Yes")),
        *(Head(scorer.name, "AUC") for scorer in roles.leads.values()),
    ]
    return Chart(title, breakdown.about, drawing, table=Table(name, title, heads, cells))


def draw_rows(rows: list[Row], name: str, title: str, difference: bool = False) -> Markup | None:
    """Draw rows of values with intervals; None if no value is defined.

    Each label is above its marks, not beside them, so that long names fit a phone.

    Args:
        rows: From top to bottom.
        name: Unique on the page.
        title: Begins the text alternative, which lists all values.
        difference: Whether the values are differences: zero is drawn, numbers have signs.
    """
    defined = [interval for row in rows for interval in row.defined]
    if not defined:
        return None
    height = sum(row.height for row in rows)
    figure = new_figure(height + _BELOW)
    axes = frame(figure, _LEFT, 0, _RIGHT, _BELOW)
    axes.set_ylim(height, 0)
    _set_scale(axes, defined, difference)
    top = 0.0
    for row in rows:
        _write(axes, shortened(row.label, _LONGEST), top + _LABEL - 6, fontsize=TEXT_SIZE)
        _write(axes, clean(row.note), top + _LABEL - 6, _RIGHT_EDGE, ha="right", color=MUTED)
        y = top + _LABEL + _MARK / 2
        if row.defined:
            for i, (role, interval) in enumerate(row.marks):
                _mark(axes, role, interval, y + _MARK * i)
        else:
            _write(axes, f"undefined: {row.undefined}", y + 4, color=MUTED)
        top += row.height
    texts = (row.in_words(signed if difference else number) for row in rows)
    return to_svg(figure, name, f"{title}: {'; '.join(texts)}.")


def _set_scale(axes: Axes, defined: list[Interval], difference: bool) -> None:
    ends = [interval.value for interval in defined]
    for interval in defined:
        ends += [interval.low, interval.high] if interval.enough_users else []
    if difference:
        ends.append(0.0)
        axes.axvline(0, color=MUTED, linewidth=1.4, zorder=1)
    # At least this wide, so that equal values are not zoomed in to their rounding errors.
    around = max(0.04 * (max(ends) - min(ends)), 0.001)
    low, high = min(ends) - around, max(ends) + around
    axes.set_xlim(low, high)
    steps = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    decimals = max(0, -math.floor(math.log10(steps[1] - steps[0]) + 1e-9))
    ticks = [float(step) for step in steps if low <= step <= high]
    axes.set_xticks(ticks, [_tick(tick, decimals, difference) for tick in ticks])
    axes.set_yticks([])
    axes.spines["bottom"].set_color(FAINT)


def _tick(value: float, decimals: int, difference: bool) -> str:
    if difference and abs(value) < 1e-9:
        return "0"
    text = f"{value:+.{decimals}f}" if difference else f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _mark(axes: Axes, role: Role, interval: Interval | None, y: float) -> None:
    pen = PENS[role]
    if interval is None:
        _write(axes, "undefined", y + 4, color=MUTED)
        return
    if interval.enough_users:
        axes.plot([interval.low, interval.high], [y, y], color=pen.color, linewidth=2.2, zorder=2)
    axes.plot([interval.value], [y], linestyle="none", zorder=3, **pen.marks)


def _write(axes: Axes, text: str, y: float, x: float = _LEFT_EDGE, **style: Any) -> None:
    style = {"fontsize": SMALL_SIZE} | style
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), **style)
