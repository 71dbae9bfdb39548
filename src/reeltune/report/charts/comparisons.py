"""Forest plots of differences and of ablations, and one chart for each breakdown."""

from __future__ import annotations

from typing import Final

from reeltune.evaluation.result import Ablation, Breakdown, Evaluation, Group
from reeltune.report.charts.interval_rows import Row, draw_rows
from reeltune.report.charts.style import styled
from reeltune.report.charts.svg import Chart
from reeltune.report.metric_labels import METRIC_LABELS, NOT_MEASURED, ONE_LABEL, MetricLabel
from reeltune.report.roles import Roles
from reeltune.report.tables import (
    Cell,
    Head,
    Table,
    between,
    changed,
    count,
    counted,
    percent,
    plain,
    signed,
    signed_between,
    valued,
    words,
)

_FOREST: Final = ("auc", "auc_per_user_mean", "ndcg_at_10", "log_loss")


def forests(evaluation: Evaluation, roles: Roles) -> list[Chart]:
    """Return the model minus every other scorer: one forest plot for each main metric."""
    found = roles.sorted(evaluation.differences)
    shown = [
        m for m in METRIC_LABELS if m.key in _FOREST and any(m.key in d.metrics for d in found)
    ]
    return [_forest(metric, evaluation, roles) for metric in shown]


@styled()
def _forest(metric: MetricLabel, evaluation: Evaluation, roles: Roles) -> Chart:
    found = roles.sorted(evaluation.differences)
    rows, cells = [], []
    for difference in found:
        interval = difference.metrics.get(metric.key)
        note = "" if interval is None else signed(interval.value)
        reason = metric.undefined if metric.key in difference.metrics else NOT_MEASURED
        rows.append(Row(difference.other, note, [("tuned", interval)], reason))
        cells.append([words(difference.other), changed(interval, reason)])
    side = "Right" if metric.higher_is_better else "Left"
    in_words = "; ".join(
        f"{d.other} {signed(i.value)}, {signed_between(i)}"
        for d in found
        if (i := d.metrics.get(metric.key)) is not None
    )
    title = f"{metric.label}: {roles.minus_label.lower()} each other scorer"
    about = f"{side} of zero {roles.model_label} is better."
    drawing = draw_rows(rows, f"forest-{metric.key}", f"Forest plot. {title}: {in_words}.", True)
    if drawing is None:
        return Chart.absent(title, about, metric.undefined)
    heads = [Head(roles.minus_label, numeric=False), Head("Difference", "95 % interval")]
    return Chart(title, about, drawing, table=Table(f"forest-{metric.key}", title, heads, cells))


@styled()
def breakdown_chart(breakdown: Breakdown, roles: Roles, index: int) -> Chart:
    """Return the AUC of the leads within each group; the index makes the chart's name unique."""
    leads = roles.leads
    rows = [
        Row(
            group.label,
            counted(group.rows, "row"),
            [(role, group.auc.get(scorer.name)) for role, scorer in leads.items()],
            _reason(group),
        )
        for group in breakdown.groups
    ]
    in_words = "; ".join(_in_words(group, roles) for group in breakdown.groups)
    title = f"By {breakdown.name}"
    name, alternative = f"breakdown-{index}", f"AUC within groups. {title}: {in_words}."
    drawing = draw_rows(rows, name, alternative, difference=False)
    if drawing is None:
        return Chart.absent(title, breakdown.about, "no group has rows with both labels")
    heads = [
        Head("Group", numeric=False),
        *(Head(text) for text in ("Rows", "Users", "Share of Yes")),
        *(Head(scorer.name, "AUC") for scorer in leads.values()),
    ]
    cells = [_group_cells(group, roles) for group in breakdown.groups]
    return Chart(title, breakdown.about, drawing, table=Table(name, title, heads, cells))


def _in_words(group: Group, roles: Roles) -> str:
    figures = [
        f"{scorer.name} {'undefined' if found is None else between(found)}"
        for scorer in roles.leads.values()
        for found in (group.auc.get(scorer.name),)
    ]
    return f"{group.label}, {', '.join(figures)}"


def _reason(group: Group) -> str:
    return "one label only" if group.rows else "no rows"


def _group_cells(group: Group, roles: Roles) -> list[Cell]:
    reason = _reason(group)
    return [
        words(group.label),
        Cell(count(group.rows)),
        Cell(count(group.users)),
        plain(group.positive_rate, "no rows", percent),
        *(
            valued(group.auc.get(scorer.name), reason if scorer.name in group.auc else NOT_MEASURED)
            for scorer in roles.leads.values()
        ),
    ]


@styled()
def ablations_chart(ablations: list[Ablation]) -> Chart:
    """Return the change in AUC of each ablation."""
    title = "Change in AUC"
    about = (
        "AUC with the change minus AUC without it, on the same rows. Left of zero: the model uses "
        "what was removed."
    )
    rows = [
        Row(
            ablation.name,
            "" if ablation.difference is None else signed(ablation.difference.value),
            [("tuned", ablation.difference)],
            ONE_LABEL,
        )
        for ablation in ablations
    ]
    in_words = "; ".join(f"{row.label} {row.note or 'undefined'}" for row in rows)
    drawing = draw_rows(rows, "ablations", f"Forest plot. {title}: {in_words}.", difference=True)
    heads = [
        Head("Ablation", numeric=False),
        Head("Rows"),
        Head("AUC", "with the change"),
        Head("Difference", "95 % interval"),
    ]
    cells = [
        [
            words(ablation.name, ablation.about),
            Cell(count(ablation.rows)),
            valued(ablation.auc, ONE_LABEL),
            changed(ablation.difference, ONE_LABEL),
        ]
        for ablation in ablations
    ]
    table = Table("ablations", title, heads, cells)
    return Chart(title, about, drawing, "" if drawing is not None else ONE_LABEL, table)
