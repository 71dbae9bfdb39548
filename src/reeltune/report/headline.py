"""The findings in words, claiming no more than the confidence intervals allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation, ScorerResult
from reeltune.report.metric_labels import AUC, AUC_PER_USER, NOT_MEASURED, ONE_LABEL, MetricLabel
from reeltune.report.roles import Roles, auc_of, difference_from, strongest
from reeltune.report.tables import (
    between,
    counted,
    number,
    signed,
    signed_between,
    too_few,
)

Ruling = Literal["better", "worse", "unclear", "too few", "undefined"]

_SHORT: Final[dict[Ruling, str]] = {
    "better": "clearly better than",
    "worse": "clearly worse than",
    "unclear": "not clearly different from",
    "too few": "measured on too few users to compare with",
    "undefined": "not comparable with",
}


@dataclass(frozen=True)
class Comparison:
    """The model of the report compared with another scorer by one metric, also in words.

    ``difference`` is the model's value minus the other's.
    """

    other: str
    label: str
    ruling: Ruling
    difference: Interval | None
    sentence: str


@dataclass(frozen=True)
class Headline:
    """The top of the report.

    Attributes:
        claim: The finding in one line.
        sentences: The finding with its numbers.
        comparisons: By AUC: with the base model, the best baseline and the best method that gets
            the same signals as the prompt.
        per_user: The same by AUC per user.
        unbeaten: Other baselines that the model does not clearly beat by AUC.
    """

    claim: str
    sentences: list[str]
    comparisons: list[Comparison] = field(default_factory=list)
    per_user: list[Comparison] = field(default_factory=list)
    unbeaten: list[str] = field(default_factory=list)


def rule(difference: Interval | None, higher_is_better: bool = True) -> Ruling:
    """Return what a difference's interval allows to claim about the first of two scorers."""
    if difference is None:
        return "undefined"
    if not difference.enough_users:
        return "too few"
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def headline(evaluation: Evaluation, roles: Roles) -> Headline:
    """Return the findings of an evaluation."""
    subject = roles.model
    untrained = [] if roles.tuned is not None else ["The gain from training was not measured."]
    if subject is None:
        found = [auc_sentence(roles.baseline)] if roles.baseline is not None else []
        return Headline("No model was evaluated", [*found, *untrained])
    comparisons = _comparisons(evaluation, roles, subject, AUC)
    if not comparisons:
        alone = "No other scorer was evaluated on these rows."
        claim = f"{roles.model_label.capitalize()} alone"
        return Headline(claim, [auc_sentence(subject), alone, *untrained])
    claim = ", ".join(f"{_SHORT[found.ruling]} {found.label}" for found in comparisons)
    rest = [scorer for scorer in roles.of_kind("baseline") if scorer is not roles.baseline]
    unbeaten = _unbeaten(evaluation, subject, rest)
    per_user = [
        found
        for found in _comparisons(evaluation, roles, subject, AUC_PER_USER)
        if found.ruling != "undefined"
    ]
    sentences = [
        *(found.sentence for found in comparisons),
        *([_rest(roles, len(rest), unbeaten)] if rest else []),
        *(found.sentence for found in per_user),
        *untrained,
    ]
    short = "Tuned" if roles.tuned is not None else "Base"
    return Headline(f"{short}: {claim}", sentences, comparisons, per_user, unbeaten)


def auc_sentence(scorer: ScorerResult) -> str:
    """Return the AUC of one scorer in words."""
    auc = auc_of(scorer)
    if auc is None:
        reason = ONE_LABEL if AUC.key in scorer.metrics else f"it was {NOT_MEASURED}"
        return f"The AUC of {scorer.name} is undefined: {reason}."
    if not auc.enough_users:
        return f"The AUC of {scorer.name} is {number(auc.value)} ({too_few(auc)})."
    ends = between(auc)
    return f"The AUC of {scorer.name} is {number(auc.value)}, with a 95 % interval of {ends}."


def _comparisons(
    evaluation: Evaluation, roles: Roles, subject: ScorerResult, metric: MetricLabel
) -> list[Comparison]:
    others: list[tuple[ScorerResult, str, str]] = []
    if roles.base is not None and roles.base is not subject:
        others.append((roles.base, "the base model", "the base model"))
    baseline = strongest(evaluation, roles.ordered, metric, "baseline")
    if baseline is not None:
        full = f"the best of {counted(len(roles.of_kind('baseline')), 'baseline')}, {baseline.name}"
        others.append((baseline, "the best baseline", full))
    same_signals = strongest(evaluation, roles.ordered, metric, "signals")
    if roles.tuned is not None and same_signals is not None:
        full = f"the best classical method with the signals of the prompt, {same_signals.name}"
        others.append((same_signals, "its signals alone", full))
    return [_compare(evaluation, roles, subject, metric, *other) for other in others]


def _compare(
    evaluation: Evaluation,
    roles: Roles,
    subject: ScorerResult,
    metric: MetricLabel,
    other: ScorerResult,
    label: str,
    full: str,
) -> Comparison:
    found = difference_from(evaluation, subject.name, other.name)
    difference = found.metrics.get(metric.key) if found is not None else None
    mine, theirs = subject.metrics.get(metric.key), other.metrics.get(metric.key)
    named = roles.model_label.capitalize()
    if difference is None or mine is None or theirs is None:
        measured = found is not None and metric.key in found.metrics
        reason = f"undefined, since {metric.undefined}" if measured else NOT_MEASURED
        sentence = (
            f"{named} cannot be compared with {full}: the difference in {metric.label} is {reason}."
        )
        return Comparison(other.name, label, "undefined", None, sentence)
    ruling = rule(difference, metric.higher_is_better)
    rows = "these rows" if metric is AUC else "each user's rows"
    verb = f"ranks {rows}" if ruling in ("better", "worse") else "is"
    within = "" if metric is AUC or ruling in ("better", "worse") else "Per user, "
    model = roles.model_label if within else named
    sentence = (
        f"{within}{model} {verb} {_SHORT[ruling]} {full}: {metric.label} "
        f"{number(mine.value)} against {number(theirs.value)}, a difference of "
        f"{signed(difference.value)}. {_ends(difference, ruling)}"
    )
    return Comparison(other.name, label, ruling, difference, sentence)


def _ends(difference: Interval, ruling: Ruling) -> str:
    if ruling == "too few":
        return f"{too_few(difference).capitalize()}."
    zero = "contains" if ruling == "unclear" else "excludes"
    return f"The 95 % interval, {signed_between(difference)}, {zero} zero."


def _unbeaten(
    evaluation: Evaluation, subject: ScorerResult, others: list[ScorerResult]
) -> list[str]:
    """Return those of some scorers that the model does not clearly beat by AUC."""
    differences = {
        other.name: difference_from(evaluation, subject.name, other.name) for other in others
    }
    return [
        name
        for name, found in differences.items()
        if found is None or rule(found.metrics.get(AUC.key)) != "better"
    ]


def _rest(roles: Roles, others: int, unbeaten: list[str]) -> str:
    count = counted(others, "other baseline")
    if not unbeaten:
        return f"{roles.model_label.capitalize()} is clearly better than each of the {count}."
    return f"Of the {count}, {roles.model_label} is not clearly better than: {', '.join(unbeaten)}."
