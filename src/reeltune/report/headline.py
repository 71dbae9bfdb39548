"""What the numbers say, in words: no more than the intervals allow, and no less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation, ScorerResult
from reeltune.report.cast import Cast, auc_of, difference_from, strongest
from reeltune.report.numbers import (
    between,
    counted,
    number,
    signed,
    signed_between,
    too_few,
)
from reeltune.report.shown import AUC, AUC_PER_USER, NOT_MEASURED, ONE_LABEL, ShownMetric

Ruling = Literal["better", "worse", "unclear", "too few", "undefined"]

_SHORT: Final[dict[Ruling, str]] = {
    "better": "clearly better than",
    "worse": "clearly worse than",
    "unclear": "not clearly different from",
    "too few": "on too few users to be told from",
    "undefined": "not comparable with",
}


@dataclass(frozen=True)
class Comparison:
    """The subject beside one other scorer, by one metric.

    Attributes:
        label: The other scorer, for people.
        ruling: What the interval allows to say.
        difference: The subject's value less the other's; None where there is none.
        sentence: All of it in words.
    """

    label: str
    ruling: Ruling
    difference: Interval | None
    sentence: str


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees.

    Attributes:
        claim: The finding in one line.
        sentences: The finding with its numbers.
        comparisons: What it rests on, by AUC: the subject beside its base, the best baseline and
            the best of what is told what its prompts tell.
    """

    claim: str
    sentences: list[str]
    comparisons: list[Comparison]


def rule(difference: Interval | None, higher_is_better: bool = True) -> Ruling:
    """Return what a difference's interval allows to say of the first of the two scorers."""
    if difference is None:
        return "undefined"
    if not difference.told:
        return "too few"
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def headline(evaluation: Evaluation, cast: Cast) -> Headline:
    """Return what the evaluation found."""
    subject = cast.subject
    untrained = [] if cast.tuned is not None else ["What training gains is not measured here."]
    if subject is None:
        found = [auc_sentence(cast.baseline)] if cast.baseline is not None else []
        return Headline("No model was scored here", [*found, *untrained], [])
    comparisons = _comparisons(evaluation, cast, subject)
    if not comparisons:
        alone = "Nothing else was scored on these rows, so there is nothing to compare it with."
        claim = f"{cast.named.capitalize()} alone"
        return Headline(claim, [auc_sentence(subject), alone, *untrained], [])
    claim = ", ".join(f"{_SHORT[found.ruling]} {found.label}" for found in comparisons)
    sentences = [found.sentence for found in comparisons]
    sentences += _rest(evaluation, cast, subject)
    within = _comparisons(evaluation, cast, subject, AUC_PER_USER)
    sentences += [found.sentence for found in within if found.ruling != "undefined"]
    short = "Tuned" if cast.tuned is not None else "Base"
    return Headline(f"{short}: {claim}", [*sentences, *untrained], comparisons)


def auc_sentence(scorer: ScorerResult) -> str:
    """Return what a scorer reached by itself."""
    auc = auc_of(scorer)
    if auc is None:
        reason = ONE_LABEL if AUC.key in scorer.metrics else f"it was {NOT_MEASURED}"
        return f"There is no AUC of {scorer.name}: {reason}."
    if not auc.told:
        return f"The AUC of {scorer.name} is {number(auc.value)} ({too_few(auc)})."
    ends = between(auc)
    return f"The AUC of {scorer.name} is {number(auc.value)}, with a 95 % interval of {ends}."


def _comparisons(
    evaluation: Evaluation, cast: Cast, subject: ScorerResult, metric: ShownMetric = AUC
) -> list[Comparison]:
    others: list[tuple[ScorerResult, str, str]] = []
    if cast.base is not None and cast.base is not subject:
        others.append((cast.base, "the base model", "the base model"))
    baseline = strongest(evaluation, cast.ordered, metric, "baseline")
    if baseline is not None:
        full = f"the best of {counted(len(cast.of_kind('baseline')), 'baseline')}, {baseline.name}"
        others.append((baseline, "the best baseline", full))
    told = strongest(evaluation, cast.ordered, metric, "evidence")
    if cast.tuned is not None and told is not None:
        full = f"the best classical method that is told what its prompts tell, {told.name}"
        others.append((told, "its evidence by itself", full))
    return [_compare(evaluation, cast, subject, metric, *other) for other in others]


def _compare(
    evaluation: Evaluation,
    cast: Cast,
    subject: ScorerResult,
    metric: ShownMetric,
    other: ScorerResult,
    label: str,
    full: str,
) -> Comparison:
    found = difference_from(evaluation, subject.name, other.name)
    difference = found.metrics.get(metric.key) if found is not None else None
    mine, theirs = subject.metrics.get(metric.key), other.metrics.get(metric.key)
    named = cast.named.capitalize()
    if difference is None or mine is None or theirs is None:
        measured = found is not None and metric.key in found.metrics
        reason = f"undefined, since {metric.undefined}" if measured else NOT_MEASURED
        sentence = (
            f"{named} cannot be compared with {full}: the difference in {metric.label} is {reason}."
        )
        return Comparison(label, "undefined", None, sentence)
    ruling = rule(difference, metric.higher_is_better)
    rows = "these rows" if metric is AUC else "each user's rows"
    verb = f"orders {rows}" if ruling in ("better", "worse") else "is"
    within = "" if metric is AUC or ruling in ("better", "worse") else "Within a user, "
    sentence = (
        f"{within}{cast.named if within else named} {verb} {_SHORT[ruling]} {full}: {metric.label} "
        f"{number(mine.value)} against {number(theirs.value)}, a difference of "
        f"{signed(difference.value)}. {_ends(difference, ruling)}"
    )
    return Comparison(label, ruling, difference, sentence)


def _ends(difference: Interval, ruling: Ruling) -> str:
    if ruling == "too few":
        return f"There are {too_few(difference)}."
    zero = "contains zero" if ruling == "unclear" else "is clear of zero"
    return f"The 95 % interval, {signed_between(difference)}, {zero}."


def _rest(evaluation: Evaluation, cast: Cast, subject: ScorerResult) -> list[str]:
    """Return which of the other baselines the subject does not clearly beat."""
    rest = [scorer.name for scorer in cast.of_kind("baseline") if scorer is not cast.baseline]
    if not rest:
        return []
    rulings = {
        other: rule(difference.metrics.get(AUC.key))
        for other in rest
        if (difference := difference_from(evaluation, subject.name, other)) is not None
    }
    unbeaten = [other for other in rest if rulings.get(other) != "better"]
    count = counted(len(rest), "other baseline")
    if not unbeaten:
        return [f"{cast.named.capitalize()} is clearly better than each of the {count}."]
    return [f"Of the {count}, {cast.named} is not clearly better than: {', '.join(unbeaten)}."]
