"""The main results in words, claiming no more than the confidence intervals allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation, ScorerResult
from reeltune.report.metric_labels import AUC, AUC_PER_USER, NOT_MEASURED, ONE_LABEL, MetricLabel
from reeltune.report.roles import Roles, strongest
from reeltune.report.tables import between, counted, number, signed, signed_between

Conclusion = Literal["better", "worse", "unclear", "too few", "undefined"]

_PHRASES: Final[dict[Conclusion, str]] = {
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
    conclusion: Conclusion
    difference: Interval | None
    sentence: str


@dataclass(frozen=True)
class Headline:
    """The top of the report.

    Attributes:
        claim: The main result in one line.
        sentences: The results with their numbers.
        comparisons: By AUC: with the model alone, its base, the best baseline and the best method
            that gets the same signals as the prompt.
        per_user: The same by AUC per user.
        unbeaten: Other baselines that the model does not clearly beat by AUC.
    """

    claim: str
    sentences: list[str]
    comparisons: list[Comparison] = field(default_factory=list)
    per_user: list[Comparison] = field(default_factory=list)
    unbeaten: list[str] = field(default_factory=list)


def conclude(difference: Interval | None, higher_is_better: bool = True) -> Conclusion:
    """Return what a difference's interval allows to claim about the first of two scorers."""
    if difference is None:
        return "undefined"
    if not difference.enough_users:
        return "too few"
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def headline(evaluation: Evaluation, roles: Roles) -> Headline:
    """Return the main results of an evaluation."""
    model = roles.model
    untrained = [] if roles.tuned is not None else ["The gain from training was not measured."]
    if model is None:
        sentences = [_auc_sentence(roles.baseline)] if roles.baseline is not None else []
        return Headline("No model was evaluated", [*sentences, *untrained])
    comparisons = _comparisons(evaluation, roles, model, AUC)
    if not comparisons:
        alone = "No other scorer was evaluated on these rows."
        claim = f"{roles.model_label.capitalize()} alone"
        return Headline(claim, [_auc_sentence(model), alone, *untrained])
    claim = ", ".join(f"{_PHRASES[c.conclusion]} {c.label}" for c in comparisons)
    others = [scorer for scorer in roles.of_kind("baseline") if scorer is not roles.baseline]
    unbeaten = [
        other.name
        for other in others
        if conclude(_difference(evaluation, model, other).get(AUC.key)) != "better"
    ]
    per_user = [
        comparison
        for comparison in _comparisons(evaluation, roles, model, AUC_PER_USER)
        if comparison.conclusion != "undefined"
    ]
    sentences = [
        *(comparison.sentence for comparison in comparisons),
        *([_others_sentence(roles, len(others), unbeaten)] if others else []),
        *(comparison.sentence for comparison in per_user),
        *untrained,
    ]
    short = roles.minus_label.removesuffix(" minus")
    return Headline(f"{short}: {claim}", sentences, comparisons, per_user, unbeaten)


def _auc_sentence(scorer: ScorerResult) -> str:
    auc = scorer.metrics.get(AUC.key)
    if auc is None:
        reason = ONE_LABEL if AUC.key in scorer.metrics else f"it was {NOT_MEASURED}"
        return f"The AUC of {scorer.name} is undefined: {reason}."
    if not auc.enough_users:
        return f"The AUC of {scorer.name} is {number(auc.value)} ({between(auc)})."
    interval = f"with a 95 % interval of {between(auc)}"
    return f"The AUC of {scorer.name} is {number(auc.value)}, {interval}."


def _comparisons(
    evaluation: Evaluation, roles: Roles, model: ScorerResult, metric: MetricLabel
) -> list[Comparison]:
    others: list[tuple[ScorerResult, str, str]] = []
    if roles.tuned is not None and roles.tuned is not model:
        others.append((roles.tuned, "the model alone", "the model alone"))
    if roles.base is not None and roles.base is not model:
        others.append((roles.base, "the base model", "the base model"))
    baseline = strongest(evaluation, roles.ordered, metric, "baseline")
    if baseline is not None:
        full = f"the best of {counted(len(roles.of_kind('baseline')), 'baseline')}, {baseline.name}"
        others.append((baseline, "the best baseline", full))
    same_signals = strongest(evaluation, roles.ordered, metric, "signals")
    if roles.tuned is not None and same_signals is not None:
        full = f"the best classical method with the signals of the prompt, {same_signals.name}"
        others.append((same_signals, "its signals alone", full))
    comparisons = []
    for other, label, full in others:
        metrics = _difference(evaluation, model, other)
        difference, mine, theirs = (
            m.get(metric.key) for m in (metrics, model.metrics, other.metrics)
        )
        if difference is None or mine is None or theirs is None:
            sentence = (
                f"{roles.model_label.capitalize()} cannot be compared with {full}: the difference "
                f"in {metric.label} is {_missing(metric, metrics)}."
            )
            comparisons.append(Comparison(other.name, label, "undefined", None, sentence))
            continue
        conclusion = conclude(difference, metric.higher_is_better is not False)
        sentence = (
            f"{_subject(roles, metric, conclusion)} {_PHRASES[conclusion]} {full}: {metric.label} "
            f"{number(mine.value)} against {number(theirs.value)}, a difference of "
            f"{signed(difference.value)}. {_interval_sentence(difference, conclusion)}"
        )
        comparisons.append(Comparison(other.name, label, conclusion, difference, sentence))
    return comparisons


def _difference(
    evaluation: Evaluation, model: ScorerResult, other: ScorerResult
) -> dict[str, Interval | None]:
    """Return the model's metrics minus those of another scorer; empty if not measured."""
    wanted = (model.name, other.name)
    measured = (d.metrics for d in evaluation.differences if (d.scorer, d.other) == wanted)
    return next(measured, {})


def _missing(metric: MetricLabel, metrics: dict[str, Interval | None]) -> str:
    return f"undefined, since {metric.undefined}" if metric.key in metrics else NOT_MEASURED


def _subject(roles: Roles, metric: MetricLabel, conclusion: Conclusion) -> str:
    """Return the beginning of a sentence: the model and the verb."""
    name = roles.model_label.capitalize()
    if conclusion in ("better", "worse"):
        return f"{name} ranks these rows" if metric is AUC else f"{name} ranks each user's rows"
    return f"{name} is" if metric is AUC else f"Per user, {roles.model_label} is"


def _interval_sentence(difference: Interval, conclusion: Conclusion) -> str:
    if conclusion == "too few":
        return f"{between(difference).capitalize()}."
    zero = "contains" if conclusion == "unclear" else "excludes"
    return f"The 95 % interval, {signed_between(difference)}, {zero} zero."


def _others_sentence(roles: Roles, others: int, unbeaten: list[str]) -> str:
    count = counted(others, "other baseline")
    if not unbeaten:
        return f"{roles.model_label.capitalize()} is clearly better than each of the {count}."
    return f"Of the {count}, {roles.model_label} is not clearly better than: {', '.join(unbeaten)}."
