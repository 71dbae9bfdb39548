"""Metrics, differences and sample rows as tables and lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from reeltune.data.ids import shown_id
from reeltune.evaluation.compare import Sample, answer
from reeltune.evaluation.examples import title_of
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.metrics import Metrics
from reeltune.evaluation.model_predictions import TUNED, WITH_MODEL, WITHOUT_MODEL
from reeltune.evaluation.result import Breakdown, Evaluation, Gain
from reeltune.scoring.fusion import describe

_UNDEFINED: Final = "undefined"

_METRICS: Final = {
    "auc": "AUC",
    "auc_per_user_mean": "AUC per user, mean",
    "accuracy": "accuracy at 0.5",
    "f1": "F1 of Yes at 0.5",
    "log_loss": "log loss (nats)",
    "brier": "Brier score",
    "yes_rate": "share of predicted Yes",
}

_GAIN_METRICS: Final = {
    "auc": "AUC",
    "auc_per_user_mean": "AUC per user, mean",
    "log_loss": "log loss (lower is better)",
}

_ADDED: Final = {"auc": "AUC", "auc_per_user_mean": "AUC per user", "log_loss": "Log loss"}

_COLUMNS: Final = {
    "auc": "AUC",
    "auc_per_user_mean": "per user",
    "log_loss": "log loss",
    "ece": "ECE",
}


def _table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False
    )
    table.caption_justify = "left"
    return table


def metrics_table(title: str, columns: dict[str, Metrics]) -> Table:
    """Return one row per metric and one column per scorer; two scorers get their difference."""
    table = _table(title)
    table.add_column("metric")
    for name in [*columns, *(["difference"] if len(columns) == 2 else [])]:
        table.add_column(name, justify="right")
    for key, label in _METRICS.items():
        values = [getattr(metrics, key) for metrics in columns.values()]
        cells = [_number(value) for value in values]
        if len(columns) == 2:
            defined = None not in values
            cells.append(f"{values[1] - values[0]:+.4f}" if defined else _UNDEFINED)
        table.add_row(label, *cells)
    first = next(iter(columns.values()))
    table.caption = (
        f"{first.rows} rows; share of Yes: {_number(first.positive_rate)}; accuracy of the more "
        f"frequent answer: {_number(first.majority_rate)}. AUC per user: {first.users_scored} "
        f"users with both labels, without {first.users_skipped} users with one label."
    )
    return table


def scorers_table(evaluation: Evaluation) -> Table:
    """Return one row per scorer with the main metrics; the report has all of them."""
    table = _table(f"{evaluation.split} rows")
    table.add_column("scorer")
    with_ends = ("auc", *evaluation.custom_metrics)
    columns = _COLUMNS | {name: name for name in evaluation.custom_metrics}
    for key, label in columns.items():
        table.add_column(Text(label), justify="right", no_wrap=key in _COLUMNS)
        if key in with_ends:
            table.add_column("95 %", no_wrap=True)
    for scorer in evaluation.scorers:
        cells = []
        for key in columns:
            interval = scorer.metrics[key]
            cells.append(_UNDEFINED if interval is None else f"{interval.value:.3f}")
            if key in with_ends:
                cells.append(_ends(interval))
        table.add_row(scorer.name, *cells)
    per_user = evaluation.scorers[0].metrics["auc_per_user_mean"] if evaluation.scorers else None
    users = "" if per_user is None else f" over the {per_user.users} users with both labels"
    table.caption = (
        f"{evaluation.rows} rows of {evaluation.users} users; share of Yes: "
        f"{evaluation.positive_rate:.4f}. 95 %: interval of the AUC. Per user: mean AUC{users}. "
        "ECE: expected calibration error."
    )
    return table


def cold_to_warm_table(breakdown: Breakdown) -> Table:
    """Return one row per scorer, and for each group with rows: AUC, its interval and log loss."""
    table = _table(f"AUC, 95 %, log loss, by {breakdown.name}")
    table.padding = (0, 0, 0, 1)  # six groups fit a terminal of 80 columns
    table.add_column("scorer", min_width=13)
    shown = [group for group in breakdown.groups if group.rows]
    for group in shown:
        heading = f"{group.label.replace(' and more', '+')}\n{group.rows:,}\nrows"
        table.add_column(heading, justify="right", no_wrap=True)
    for name in shown[0].auc if shown else ():
        cells = []
        for group in shown:
            auc, log_loss = group.auc.get(name), group.log_loss.get(name)
            if auc is None or log_loss is None:
                cells.append("-")
            else:
                ends = f"{auc.low:.2f}-{auc.high:.2f}\n" if auc.enough_users else ""
                cells.append(f"{auc.value:.3f}\n{ends}{log_loss.value:.3f}")
        table.add_row(name, *cells)
    table.caption = " ".join([breakdown.about, *undefined_groups(breakdown)])
    return table


def undefined_groups(breakdown: Breakdown) -> list[str]:
    """Return why groups have no metrics, a sentence each."""
    return [
        f"At {group.label}: {group.undefined}." for group in breakdown.groups if group.undefined
    ]


def lead_sentence(breakdown: Breakdown, main: str, other: str) -> str:
    """Return in which groups a model's AUC is clearly above or below that of another scorer."""
    at: dict[str, list[str]] = {"better": [], "worse": [], "no clear difference": []}
    for group in breakdown.groups:
        if (lead := group.lead.get(other)) is not None:
            clear = lead.enough_users and not lead.low <= 0 <= lead.high
            found = ("better" if lead.value > 0 else "worse") if clear else "no clear difference"
            at[found].append(group.label)
    parts = [f"{found} at {', '.join(labels)}" for found, labels in at.items() if labels]
    return f"{main.capitalize()} against {other}: {'; '.join(parts) or 'undefined'}."


def _ends(interval: Interval | None, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    if not interval.enough_users:
        return "too few users"
    if signed:
        return f"{interval.low:+.4f} to {interval.high:+.4f}"
    return f"{interval.low:.3f}-{interval.high:.3f}"


def _users(interval: Interval) -> str:
    return "1 user" if interval.users == 1 else f"{interval.users} users"


def gain_table(gain: Gain) -> Table:
    """Return base against tuned model: AUC, AUC per user and log loss, with intervals."""
    table = _table("What fine-tuning changed: tuned minus base")
    table.add_column("metric")
    for name in ("base", "tuned", "difference", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, label in _GAIN_METRICS.items():
        models, difference = (gain.base[key], gain.tuned[key]), gain.difference[key]
        table.add_row(
            label,
            *(_number(None if each is None else each.value) for each in models),
            _UNDEFINED if difference is None else f"{difference.value:+.4f}",
            _ends(difference, signed=True),
        )
    return table


def gain_sentence(gain: Gain) -> str:
    """Return what the difference in AUC means, in plain words."""
    base, tuned, difference = (each["auc"] for each in (gain.base, gain.tuned, gain.difference))
    if base is None or tuned is None or difference is None:
        return "The AUC is undefined on these rows, so they cannot show what fine-tuning changed."
    if not difference.enough_users:
        return (
            f"Fine-tuning changed AUC by {difference.value:+.3f} on these rows; "
            f"{_users(difference)}, too few to say whether it would for other users."
        )
    if difference.low <= 0 <= difference.high:
        return (
            f"Fine-tuning changed AUC by {difference.value:+.3f} (95 % interval "
            f"{difference.low:+.3f} to {difference.high:+.3f}): these rows do not show whether the "
            "tuned model ranks better or worse than the base model."
        )
    raised = difference.value > 0
    ends = sorted((abs(difference.low), abs(difference.high)))
    return (
        f"Fine-tuning {'raised' if raised else 'lowered'} AUC by {abs(difference.value):.3f} (95 % "
        f"interval {ends[0]:.3f} to {ends[1]:.3f}): the tuned model ranks "
        f"{'better' if raised else 'worse'} than the base model. Of 100 pairs of a liked and a "
        f"disliked candidate, it puts the liked one first in {100 * tuned.value:.0f}, the base "
        f"model in {100 * base.value:.0f}."
    )


def difference_line(
    interval: Interval | None, scorer: str = "tuned", other: str = "base", metric: str = "AUC"
) -> str:
    """Return the difference of a metric between two scorers, in one line."""
    what = f"{metric}, {scorer} minus {other}"
    if interval is None:
        return f"{what}: {_UNDEFINED}."
    value = f"{what}: {interval.value:+.4f}"
    if not interval.enough_users:
        return f"{value}; {_users(interval)}, too few for an interval."
    zero = "contains" if interval.low <= 0 <= interval.high else "excludes"
    return (
        f"{value}; 95 % interval {interval.low:+.4f} to {interval.high:+.4f} over "
        f"{interval.bootstrap_samples} bootstrap samples of users {zero} zero."
    )


def lead_sentences(evaluation: Evaluation, breakdown: Breakdown) -> list[str]:
    """Return :func:`lead_sentence` for the other models and the strongest of each kind by AUC."""
    others = {TUNED, "base", *evaluation.strongest.get("auc", {}).values()}
    return [
        lead_sentence(breakdown, difference.scorer, difference.other)
        for difference in evaluation.differences
        if difference.scorer == evaluation.main and difference.other in others
    ]


def difference_lines(evaluation: Evaluation) -> list[str]:
    """Return the differences in AUC and AUC per user to the other models and the strongest scorers.

    The strongest of each kind by that metric on validation rows; by AUC for custom metrics.
    """
    lines = []
    labels = {"auc": "AUC", "auc_per_user_mean": "AUC per user"}
    labels |= {name: name for name in evaluation.custom_metrics}
    by_auc = evaluation.strongest.get("auc", {})
    for metric, label in labels.items():
        others = {TUNED, "base", *evaluation.strongest.get(metric, by_auc).values()}
        lines += [
            difference_line(difference.metrics[metric], difference.scorer, difference.other, label)
            for difference in evaluation.differences
            if difference.scorer == evaluation.main and difference.other in others
        ]
    return lines


def fusion_sentences(evaluation: Evaluation) -> list[str]:
    """Return what the fusion is and, if it is shipped, what the model adds to it."""
    lines = describe(evaluation.fusion) if evaluation.fusion else []
    meaning = {WITHOUT_MODEL: "What the model adds", WITH_MODEL: "What leaving out the model adds"}
    for difference in evaluation.differences:
        pair = (difference.scorer, difference.other)
        if pair[0] == evaluation.main and pair[1] in meaning:
            for key, label in _ADDED.items():
                line = difference_line(difference.metrics[key], *pair, label)
                lines.append(f"{meaning[pair[1]]}: {line}")
    return lines


def samples_table(samples: Sequence[Sample]) -> Table:
    """Return one row per sample: truth, and both models' P(Yes), answer and generated text."""
    table = _table("Sample rows")
    headings = ("user", "candidate", "truth", "base", "tuned", "base generates", "tuned generates")
    for name in headings:
        table.add_column(name, overflow="fold")
    for sample in samples:
        table.add_row(
            Text(shown_id(sample.user_id)),
            Text(title_of(sample.candidate)),
            sample.truth,
            f"{sample.p_yes_base:.3f} {answer(sample.p_yes_base)}",
            f"{sample.p_yes_tuned:.3f} {answer(sample.p_yes_tuned)}",
            Text(repr(sample.generated_base)),
            Text(repr(sample.generated_tuned)),
        )
    table.caption = "Predictions are P(Yes) from the logits; generated text is a demonstration."
    return table


def _number(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:.4f}"
