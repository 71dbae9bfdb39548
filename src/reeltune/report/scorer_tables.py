"""Tables of scorers: metrics, differences to the model, settings, top tens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Difference, Kind, ScorerResult, TopTen
from reeltune.report.headline import Conclusion, conclude
from reeltune.report.metric_labels import AUC_PER_USER, NOT_MEASURED, MetricLabel, measured
from reeltune.report.roles import Roles
from reeltune.report.tables import (
    Cell,
    Head,
    Table,
    count,
    counted,
    mark_best,
    number,
    percent,
    plain,
    signed,
    valued,
    words,
)

KIND_NAMES: Final[dict[Kind, str]] = {
    "shipped": "what commands answer with",
    "tuned": "the tuned model alone",
    "base": "the base model",
    "signals": "with the prompt's signals",
    "baseline": "classical baseline",
}
_CONCLUSIONS: Final[dict[Conclusion, str]] = {
    "better": "better",
    "worse": "worse",
    "unclear": "not clear",
    "too few": "too few users",
    "undefined": "undefined",
}


def scorers_table(roles: Roles) -> Table:
    """Return every metric of every scorer with its interval, the best of each marked."""
    metrics = measured(roles.ordered)
    columns = [_column(metric, roles.ordered) for metric in metrics]
    rows = [
        [words(scorer.name, KIND_NAMES[scorer.kind]), *(column[i] for column in columns)]
        for i, scorer in enumerate(roles.ordered)
    ]
    heads = [Head("Scorer", numeric=False), *(Head(m.label, m.better) for m in metrics)]
    per_user = next((s.metrics.get(AUC_PER_USER.key) for s in roles.ordered), None)
    users = "" if per_user is None else f" ({counted(per_user.users, 'user')} with both labels)"
    caption = (
        "All scorers on the same rows, each metric with its 95 % interval. AUC per user and "
        f"NDCG@10 are means over users{users}. ECE has no interval: see the reliability below."
    )
    return Table("scorers", caption, heads, rows)


def _column(metric: MetricLabel, scorers: list[ScorerResult]) -> list[Cell]:
    intervals = [scorer.metrics.get(metric.key) for scorer in scorers]
    cells = [
        _without_interval(metric, valued(interval, metric.reason(scorer.metrics)))
        for interval, scorer in zip(intervals, scorers, strict=True)
    ]
    values = [interval.value if interval is not None else None for interval in intervals]
    higher = metric.higher_is_better
    return cells if higher is None else mark_best(cells, values, higher)


def differences_tables(differences: list[Difference], roles: Roles) -> list[Table]:
    """Return the model minus every other scorer, metric by metric; after the fusion, the model."""
    metrics = [
        metric
        for metric in measured(roles.ordered)
        if any(metric.key in difference.metrics for difference in differences)
    ]
    tables = []
    for scorer in dict.fromkeys(difference.scorer for difference in differences):
        rows = [
            [words(each.other), *(_difference(each.metrics, metric) for metric in metrics)]
            for each in roles.sorted(differences)
            if each.scorer == scorer
        ]
        first, minus = not tables, f"{scorer.capitalize()} minus"
        heads = [Head(minus, numeric=False), *(Head(m.label, m.better) for m in metrics)]
        caption = (
            f"Each metric of {roles.model_label if first else 'the model alone'} minus that of the "
            "other scorer, with its 95 % interval. Better, worse: the interval excludes zero. Not "
            "clear: it contains zero."
        )
        name = "differences" if first else f"differences-{len(tables)}"
        tables.append(Table(name, caption, heads, rows))
    return tables


def _difference(metrics: dict[str, Interval | None], metric: MetricLabel) -> Cell:
    interval = metrics.get(metric.key)
    cell = _without_interval(metric, valued(interval, metric.reason(metrics), signed))
    if interval is None or not interval.enough_users or not metric.has_interval:
        return cell
    if metric.higher_is_better is None:
        return cell
    conclusion = _CONCLUSIONS[conclude(interval, metric.higher_is_better)]
    return replace(cell, note=f"{cell.note}, {conclusion}")


def _without_interval(metric: MetricLabel, cell: Cell) -> Cell:
    """Return a cell without its interval, if the metric has none to report."""
    return cell if metric.has_interval or not cell.defined else replace(cell, note="")


def settings_table(roles: Roles) -> Table:
    """Return the threshold, settings and time of each scorer."""
    rows = [
        [
            words(scorer.name),
            Cell(number(scorer.threshold)),
            plain(scorer.seconds, NOT_MEASURED, "{:,.1f}".format),
            words(", ".join(f"{key}: {value}" for key, value in scorer.settings.items()) or "none"),
        ]
        for scorer in roles.ordered
    ]
    heads = [
        Head("Scorer", numeric=False),
        Head("Threshold", "P(Yes) of a Yes"),
        Head("Seconds", "to fit and score"),
        Head("Settings and training rows", numeric=False),
    ]
    caption = "Thresholds and settings were chosen on validation rows, never on the reported rows."
    return Table("settings", caption, heads, rows)


_NO_RATINGS: Final = "no item has training ratings"
_TOP_TEN: Final[dict[str, tuple[Head, Callable[[float], str], str]]] = {
    "precision_at_10": (Head("Precision@10", "share of likes"), number, ""),
    "popularity": (Head("Popularity", "mean ratings"), "{:,.1f}".format, ""),
    "popularity_lift": (Head("Lift", "of popularity"), signed, _NO_RATINGS),
    "novelty": (Head("Novelty", "mean bits"), "{:.2f}".format, ""),
    "diversity": (Head("Diversity", "of genres"), number, "no two items of a list have genres"),
}


def top_ten_table(top: TopTen, roles: Roles) -> Table:
    """Return what the top tens of every scorer are like, below all rows of the same users."""
    columns = [(key, formatted, reason) for key, (_, formatted, reason) in _TOP_TEN.items()]
    averages = (plain(top.all_rows.get(k), "of top tens only", shown) for k, shown, _ in columns)
    rows = [[words("all rows", "to compare with"), Cell(percent(1)), *averages]]
    for name in (scorer.name for scorer in roles.ordered):
        cells = (valued(top.metrics[name][key], why, shown) for key, shown, why in columns)
        rows.append([words(name), Cell(percent(top.coverage[name])), *cells])
    heads = [Head("Scorer", numeric=False), Head("Coverage", "of items")]
    caption = (
        f"Top tens of the {counted(top.users, 'user')} with more than ten rows: {count(top.rows)} "
        f"rows of {counted(top.items, 'item')}. Means over users; coverage has no interval."
    )
    return Table("top-ten", caption, [*heads, *(head for head, _, _ in _TOP_TEN.values())], rows)
