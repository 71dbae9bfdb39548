"""Forest plots of differences and of controls, and one chart for each breakdown."""

from __future__ import annotations

from typing import Final

from reeltune.evaluation.result import Breakdown, Control, Evaluation, Group
from reeltune.report.cast import Cast
from reeltune.report.charts.chart import Chart
from reeltune.report.charts.ink import inked
from reeltune.report.charts.rows import Row, draw_rows
from reeltune.report.grids import Cell, Grid, Head, changed, plain, valued, words
from reeltune.report.numbers import between, count, counted, percent, signed, signed_between
from reeltune.report.scorer_grids import in_order, less
from reeltune.report.shown import NOT_MEASURED, ONE_LABEL, SHOWN, ShownMetric

_FOREST: Final = ("auc", "auc_per_user_mean", "ndcg_at_10", "log_loss")


def forests(evaluation: Evaluation, cast: Cast) -> list[Chart]:
    """Return the subject less every other scorer: one forest plot for each main metric."""
    found = in_order(evaluation.differences, cast)
    shown = [m for m in SHOWN if m.key in _FOREST and any(m.key in d.metrics for d in found)]
    return [_forest(metric, evaluation, cast) for metric in shown]


@inked()
def _forest(metric: ShownMetric, evaluation: Evaluation, cast: Cast) -> Chart:
    found = in_order(evaluation.differences, cast)
    rows, cells = [], []
    for difference in found:
        interval = difference.metrics.get(metric.key)
        note = "" if interval is None else signed(interval.value)
        reason = metric.undefined if metric.key in difference.metrics else NOT_MEASURED
        rows.append(Row(difference.other, note, [("tuned", interval)], reason))
        cells.append([words(difference.other), changed(interval, reason)])
    side = "Right" if metric.higher_is_better else "Left"
    said = "; ".join(
        f"{d.other} {signed(i.value)}, {signed_between(i)}"
        for d in found
        if (i := d.metrics.get(metric.key)) is not None
    )
    title = f"{metric.label}: {less(cast).lower()} each other scorer"
    about = f"{side} of zero {cast.named} is better."
    drawing = draw_rows(rows, f"forest-{metric.key}", f"Forest plot. {title}: {said}.", True)
    if drawing is None:
        return Chart.absent(title, about, metric.undefined)
    heads = [Head(less(cast), numeric=False), Head("Difference", "95 % interval")]
    return Chart(title, about, drawing, grid=Grid(f"forest-{metric.key}", title, heads, cells))


@inked()
def breakdown_chart(breakdown: Breakdown, cast: Cast, place: int) -> Chart:
    """Return the AUC of the leads within each group.

    Args:
        breakdown: The groups.
        cast: Who is drawn: the tuned model, its base and the best baseline.
        place: Of the breakdown in the report, which makes the chart's name unique.
    """
    leads = cast.leads
    rows = [
        Row(
            group.label,
            counted(group.rows, "row"),
            [(role, group.auc.get(scorer.name)) for role, scorer in leads.items()],
            _reason(group),
        )
        for group in breakdown.groups
    ]
    said = "; ".join(_said(group, cast) for group in breakdown.groups)
    title = f"By {breakdown.name}"
    name, alternative = f"breakdown-{place}", f"AUC within groups. {title}: {said}."
    drawing = draw_rows(rows, name, alternative, difference=False)
    if drawing is None:
        return Chart.absent(title, breakdown.about, "no group has rows with both labels")
    heads = [
        Head("Group", numeric=False),
        *(Head(text) for text in ("Rows", "Users", "Share of Yes")),
        *(Head(scorer.name, "AUC") for scorer in leads.values()),
    ]
    cells = [_group_cells(group, cast) for group in breakdown.groups]
    return Chart(title, breakdown.about, drawing, grid=Grid(name, title, heads, cells))


def _said(group: Group, cast: Cast) -> str:
    figures = [
        f"{scorer.name} {'undefined' if found is None else between(found)}"
        for scorer in cast.leads.values()
        for found in (group.auc.get(scorer.name),)
    ]
    return f"{group.label}, {', '.join(figures)}"


def _reason(group: Group) -> str:
    return "one label only" if group.rows else "no rows"


def _group_cells(group: Group, cast: Cast) -> list[Cell]:
    reason = _reason(group)
    return [
        words(group.label),
        Cell(count(group.rows)),
        Cell(count(group.users)),
        plain(group.positive_rate, "no rows", percent),
        *(
            valued(group.auc.get(scorer.name), reason if scorer.name in group.auc else NOT_MEASURED)
            for scorer in cast.leads.values()
        ),
    ]


@inked()
def controls_chart(controls: list[Control]) -> Chart:
    """Return what each control costs the tuned model."""
    title = "Change in AUC"
    about = (
        "AUC with the change less AUC without it, on the same rows. Left of zero the model made "
        "use of what was taken."
    )
    rows = [
        Row(
            control.name,
            "" if control.difference is None else signed(control.difference.value),
            [("tuned", control.difference)],
            ONE_LABEL,
        )
        for control in controls
    ]
    said = "; ".join(f"{row.label} {row.note or 'undefined'}" for row in rows)
    drawing = draw_rows(rows, "controls", f"Forest plot. {title}: {said}.", difference=True)
    heads = [
        Head("Control", numeric=False),
        Head("Rows"),
        Head("AUC", "with the change"),
        Head("Difference", "95 % interval"),
    ]
    cells = [
        [
            words(control.name, control.about),
            Cell(count(control.rows)),
            valued(control.auc, ONE_LABEL),
            changed(control.difference, ONE_LABEL),
        ]
        for control in controls
    ]
    grid = Grid("controls", title, heads, cells)
    return Chart(title, about, drawing, "" if drawing is not None else ONE_LABEL, grid)
