"""The tables of scorers: what each reached, what separates them, how each was set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from reeltune.evaluation.result import Difference, Kind, ScorerResult
from reeltune.report.formatting import counted, number
from reeltune.report.headline import Ruling, rule
from reeltune.report.metric_labels import AUC_PER_USER, NOT_MEASURED, MetricLabel, measured
from reeltune.report.roles import Roles
from reeltune.report.tables import Cell, Head, Table, changed, mark_best, undefined, valued, words

KIND_NAMES: Final[dict[Kind, str]] = {
    "tuned": "the tuned model",
    "base": "the base model",
    "signals": "told what the prompt tells",
    "baseline": "classical baseline",
    "average": "mean of two",
}
_RULINGS: Final[dict[Ruling, str]] = {
    "better": "better",
    "worse": "worse",
    "unclear": "not clear",
    "too few": "too few users",
    "undefined": "undefined",
}


def scorers_table(roles: Roles) -> Table:
    """Return every metric of every scorer with its interval, the best of each marked."""
    shown = measured(roles.ordered)
    columns = [_column(metric, roles.ordered) for metric in shown]
    rows = [
        [words(scorer.name, KIND_NAMES[scorer.kind]), *(column[place] for column in columns)]
        for place, scorer in enumerate(roles.ordered)
    ]
    heads = [Head("Scorer", numeric=False), *(Head(m.label, m.better) for m in shown)]
    caption = (
        "Every scorer on the same rows, each figure above its 95 % interval over users"
        f"{_users_scored(roles)}. ECE has no interval: see the reliability below."
    )
    return Table("scorers", caption, heads, rows)


def _users_scored(roles: Roles) -> str:
    """Return of how many users the figures within a user are."""
    found = next((s.metrics.get(AUC_PER_USER.key) for s in roles.ordered), None)
    if found is None:
        return ""
    users = counted(found.users, "user")
    return f"; AUC per user and NDCG@10 are of the {users} with rows of both labels"


def _column(metric: MetricLabel, scorers: list[ScorerResult]) -> list[Cell]:
    found = [scorer.metrics.get(metric.key) for scorer in scorers]
    cells = [
        _without_interval(metric, valued(interval, _reason(metric, scorer.metrics)))
        for interval, scorer in zip(found, scorers, strict=True)
    ]
    values = [interval.value if interval is not None else None for interval in found]
    return mark_best(cells, values, metric.higher_is_better)


def differences_table(differences: list[Difference], roles: Roles) -> Table:
    """Return what separates the subject from every other scorer, metric by metric."""
    shown = [
        metric
        for metric in measured(roles.ordered)
        if any(metric.key in d.metrics for d in differences)
    ]
    rows = [
        [words(found.other), *(_difference(found, metric) for metric in shown)]
        for found in roles.sorted(differences)
    ]
    heads = [Head(roles.minus_label, numeric=False), *(Head(m.label, m.better) for m in shown)]
    caption = (
        f"The figure of {roles.model_label} less the other scorer's, with its 95 % interval. "
        "Better, worse: the interval is clear of zero. Not clear: it contains zero."
    )
    return Table("differences", caption, heads, rows)


def _difference(found: Difference, metric: MetricLabel) -> Cell:
    interval = found.metrics.get(metric.key)
    cell = changed(interval, _reason(metric, found.metrics))
    if interval is None or not interval.enough_users:
        return cell
    if not metric.has_interval:
        return _without_interval(metric, cell)
    ruling = _RULINGS[rule(interval, metric.higher_is_better)]
    return Cell(cell.text, f"{cell.note}, {ruling}")


def _without_interval(metric: MetricLabel, cell: Cell) -> Cell:
    """Return the cell of a figure without its interval where the metric has none to tell."""
    return cell if metric.has_interval or not cell.defined else replace(cell, note="")


def settings_table(roles: Roles) -> Table:
    """Return how each scorer was set and what it cost."""
    rows = [
        [
            words(scorer.name),
            Cell(number(scorer.threshold)),
            _seconds(scorer.seconds),
            words(_settings(scorer.settings)),
        ]
        for scorer in roles.ordered
    ]
    heads = [
        Head("Scorer", numeric=False),
        Head("Threshold", "says Yes from"),
        Head("Seconds", "to fit and score"),
        Head("Settings, and how much it learned from", numeric=False),
    ]
    caption = (
        "Thresholds, and the settings of baselines, were chosen on validation rows, never on the "
        "rows reported."
    )
    return Table("settings", caption, heads, rows)


def _seconds(seconds: float | None) -> Cell:
    return undefined(NOT_MEASURED) if seconds is None else Cell(f"{seconds:,.1f}")


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in settings.items()) or "nothing to choose"


def _reason(metric: MetricLabel, metrics: dict[str, Any]) -> str:
    return metric.undefined if metric.key in metrics else NOT_MEASURED
