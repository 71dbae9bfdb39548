"""Metrics and samples as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from reeltune.evaluation.compare import Sample, verdict
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.metrics import Metrics
from reeltune.evaluation.result import Evaluation

_SHOWN = (
    ("auc", "AUC"),
    ("auc_per_user_mean", "AUC within a user, mean"),
    ("accuracy", "accuracy at 0.5"),
    ("f1", "F1 of Yes at 0.5"),
    ("log_loss", "log loss (nats)"),
    ("brier", "Brier score"),
    ("yes_rate", "share of Yes verdicts"),
)


def metrics_table(title: str, columns: dict[str, Metrics]) -> Table:
    """Return one row per metric and one column per scorer; two scorers get their difference."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
    both = list(columns.values()) if len(columns) == 2 else []
    if both:
        table.add_column("difference", justify="right")
    for key, label in _SHOWN:
        values = [getattr(metrics, key) for metrics in columns.values()]
        cells = [_number(value) for value in values]
        if both:
            defined = None not in values
            cells.append(f"{values[1] - values[0]:+.4f}" if defined else "undefined")
        table.add_row(label, *cells)
    first = next(iter(columns.values()))
    table.caption = (
        f"{first.rows} rows, {_number(first.positive_rate)} of them Yes; always giving the more "
        f"frequent answer has accuracy {_number(first.majority_rate)}. AUC within a user: "
        f"{first.users_scored} users, {first.users_skipped} more have one label only."
    )
    table.caption_justify = "left"
    return table


_COLUMNS = (
    ("auc", "AUC"),
    ("auc_per_user_mean", "in a user"),
    ("log_loss", "log loss"),
    ("ece", "ECE"),
)


def scorers_table(evaluation: Evaluation) -> Table:
    """Return one row per scorer, with the figures that say most; the report has all of them."""
    table = Table(title=f"{evaluation.split} rows", title_justify="left")
    table.add_column("scorer")
    for key, label in _COLUMNS:
        table.add_column(label, justify="right", no_wrap=True)
        if key == "auc":
            table.add_column("95 %", no_wrap=True)
    for scorer in evaluation.scorers:
        cells = []
        for key, _ in _COLUMNS:
            found = scorer.metrics[key]
            cells.append("undefined" if found is None else f"{found.value:.3f}")
            if key == "auc":
                cells.append(_ends(found))
        table.add_row(scorer.name, *cells)
    table.caption = (
        f"{evaluation.rows} rows of {evaluation.users} users, {evaluation.positive_rate:.4f} of "
        "them Yes. 95 %: interval of the AUC over users; in a user: mean of the AUC within each"
        f"{_scored(evaluation)}; ECE: expected calibration error."
    )
    table.caption_justify = "left"
    return table


def _ends(found: Interval | None) -> str:
    if found is None:
        return ""
    return f"{found.low:.3f}-{found.high:.3f}" if found.told else "too few users"


def _scored(evaluation: Evaluation) -> str:
    """Return of how many users the AUC within a user is the mean."""
    found = evaluation.scorers[0].metrics["auc_per_user_mean"] if evaluation.scorers else None
    return "" if found is None else f" of the {found.users} with rows of both labels"


def difference_line(
    interval: Interval | None, scorer: str = "tuned", other: str = "base", metric: str = "AUC"
) -> str:
    """Return how much higher a metric of one scorer is than another's, in one sentence."""
    what = f"{metric}, {scorer} minus {other}"
    if interval is None:
        return f"{what}: undefined."
    value = f"{what}: {interval.value:+.4f}"
    if not interval.told:
        users = "1 user" if interval.users == 1 else f"{interval.users} users"
        return f"{value}; {users}, too few for an interval."
    zero = "contains" if interval.low <= 0 <= interval.high else "excludes"
    return (
        f"{value}; 95 % interval {interval.low:+.4f} to {interval.high:+.4f} over "
        f"{interval.draws} bootstrap samples of users {zero} zero."
    )


def difference_lines(evaluation: Evaluation) -> list[str]:
    """Return how the first scorer stands to its base and to the strongest of each kind.

    Over all rows and within a user, each with what is strongest there on validation rows.
    """
    lines = []
    for metric, label in (("auc", "AUC"), ("auc_per_user_mean", "AUC in a user")):
        shown = {"base", *evaluation.strongest.get(metric, {}).values()}
        lines += [
            difference_line(difference.metrics[metric], difference.scorer, difference.other, label)
            for difference in evaluation.differences
            if difference.other in shown
        ]
    return lines


def samples_table(samples: Sequence[Sample]) -> Table:
    """Return one row per sample: truth, and both models' P(Yes), verdict and generated text."""
    table = Table(title="Some of these rows", title_justify="left")
    for name in ("user", "candidate", "truth", "base", "tuned", "base writes", "tuned writes"):
        table.add_column(name, overflow="fold")
    for sample in samples:
        item = sample.candidate
        table.add_row(
            str(sample.user_id),
            Text(f"{item.title} ({item.year})" if item.year is not None else item.title),
            sample.truth,
            f"{sample.p_yes_base:.3f} {verdict(sample.p_yes_base)}",
            f"{sample.p_yes_tuned:.3f} {verdict(sample.p_yes_tuned)}",
            Text(repr(sample.generated_base)),
            Text(repr(sample.generated_tuned)),
        )
    table.caption = "Verdicts are P(Yes) from the logits; what a model writes is shown beside them."
    table.caption_justify = "left"
    return table


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
