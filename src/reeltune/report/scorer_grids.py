"""The tables of scorers: what each reached, what separates them, how each was set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from reeltune.evaluation.result import Difference, Kind, ScorerResult
from reeltune.report.cast import Cast
from reeltune.report.grids import Cell, Grid, Head, changed, mark_best, undefined, valued, words
from reeltune.report.headline import Ruling, rule
from reeltune.report.numbers import counted, number
from reeltune.report.shown import AUC_PER_USER, NOT_MEASURED, ShownMetric, measured

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


def scorers_grid(cast: Cast) -> Grid:
    """Return every metric of every scorer with its interval, the best of each marked."""
    shown = measured(cast.ordered)
    columns = [_column(metric, cast.ordered) for metric in shown]
    rows = [
        [words(scorer.name, KIND_NAMES[scorer.kind]), *(column[place] for column in columns)]
        for place, scorer in enumerate(cast.ordered)
    ]
    heads = [Head("Scorer", numeric=False), *(Head(m.label, m.better) for m in shown)]
    caption = (
        "Every scorer on the same rows, each figure above its 95 % interval over users"
        f"{_users_scored(cast)}. ECE has no interval: see the reliability below."
    )
    return Grid("scorers", caption, heads, rows)


def _users_scored(cast: Cast) -> str:
    """Return of how many users the figures within a user are."""
    found = next((s.metrics.get(AUC_PER_USER.key) for s in cast.ordered), None)
    if found is None:
        return ""
    users = counted(found.users, "user")
    return f"; AUC per user and NDCG@10 are of the {users} with rows of both labels"


def _column(metric: ShownMetric, scorers: list[ScorerResult]) -> list[Cell]:
    found = [scorer.metrics.get(metric.key) for scorer in scorers]
    cells = [
        _as_told(metric, valued(interval, _reason(metric, scorer.metrics)))
        for interval, scorer in zip(found, scorers, strict=True)
    ]
    values = [interval.value if interval is not None else None for interval in found]
    return mark_best(cells, values, metric.higher_is_better)


def differences_grid(differences: list[Difference], cast: Cast) -> Grid:
    """Return what separates the subject from every other scorer, metric by metric."""
    shown = [
        metric
        for metric in measured(cast.ordered)
        if any(metric.key in d.metrics for d in differences)
    ]
    rows = [
        [words(found.other), *(_difference(found, metric) for metric in shown)]
        for found in in_order(differences, cast)
    ]
    heads = [Head(less(cast), numeric=False), *(Head(m.label, m.better) for m in shown)]
    caption = (
        f"The figure of {cast.named} less the other scorer's, with its 95 % interval. "
        "Better, worse: the interval is clear of zero. Not clear: it contains zero."
    )
    return Grid("differences", caption, heads, rows)


def less(cast: Cast) -> str:
    """Return the heading above those the subject is compared with."""
    return "Tuned less" if cast.tuned is not None else "Base less"


def _difference(found: Difference, metric: ShownMetric) -> Cell:
    interval = found.metrics.get(metric.key)
    cell = changed(interval, _reason(metric, found.metrics))
    if interval is None or not interval.told:
        return cell
    if not metric.has_interval:
        return _as_told(metric, cell)
    ruling = _RULINGS[rule(interval, metric.higher_is_better)]
    return Cell(cell.text, f"{cell.note}, {ruling}")


def _as_told(metric: ShownMetric, cell: Cell) -> Cell:
    """Return the cell of a figure without its interval where the metric has none to tell."""
    return cell if metric.has_interval or not cell.defined else replace(cell, note="")


def in_order(differences: list[Difference], cast: Cast) -> list[Difference]:
    """Return differences in the order their other scorers are reported in."""
    places = {scorer.name: place for place, scorer in enumerate(cast.ordered)}
    return sorted(differences, key=lambda found: places[found.other])


def settings_grid(cast: Cast) -> Grid:
    """Return how each scorer was set and what it cost."""
    rows = [
        [
            words(scorer.name),
            Cell(number(scorer.threshold)),
            _seconds(scorer.seconds),
            words(_settings(scorer.settings)),
        ]
        for scorer in cast.ordered
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
    return Grid("settings", caption, heads, rows)


def _seconds(seconds: float | None) -> Cell:
    return undefined(NOT_MEASURED) if seconds is None else Cell(f"{seconds:,.1f}")


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in settings.items()) or "nothing to choose"


def _reason(metric: ShownMetric, metrics: dict[str, Any]) -> str:
    return metric.undefined if metric.key in metrics else NOT_MEASURED
