"""What the numbers say, in words: no more than the intervals allow, and no less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation, ScorerResult
from reeltune.report.cast import Cast, auc_of, difference_from
from reeltune.report.numbers import counted, number, signed, signed_between
from reeltune.report.shown import AUC, NOT_MEASURED, ONE_LABEL

Ruling = Literal["better", "worse", "unclear", "undefined"]

_SHORT: Final[dict[Ruling, str]] = {
    "better": "clearly better than",
    "worse": "clearly worse than",
    "unclear": "not clearly different from",
    "undefined": "not comparable with",
}


@dataclass(frozen=True)
class Comparison:
    """The subject beside one other scorer, by AUC.

    Attributes:
        label: The other scorer, for people.
        ruling: What the interval allows to say.
        auc: The difference; None where there is none.
        sentence: All of it in words.
    """

    label: str
    ruling: Ruling
    auc: Interval | None
    sentence: str


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees.

    Attributes:
        claim: The finding in one line.
        sentences: The finding with its numbers.
        comparisons: What it rests on: the subject beside its base and the best baseline.
    """

    claim: str
    sentences: list[str]
    comparisons: list[Comparison]


def rule(difference: Interval | None, higher_is_better: bool = True) -> Ruling:
    """Return what a difference's interval allows to say of the first of the two scorers."""
    if difference is None:
        return "undefined"
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
    short = "Tuned" if cast.tuned is not None else "Base"
    return Headline(f"{short}: {claim}", [*sentences, *untrained], comparisons)


def auc_sentence(scorer: ScorerResult) -> str:
    """Return what a scorer reached by itself."""
    auc = auc_of(scorer)
    if auc is None:
        reason = ONE_LABEL if AUC.key in scorer.metrics else f"it was {NOT_MEASURED}"
        return f"There is no AUC of {scorer.name}: {reason}."
    ends = f"{number(auc.low)} to {number(auc.high)}"
    return f"The AUC of {scorer.name} is {number(auc.value)}, with a 95 % interval of {ends}."


def _comparisons(evaluation: Evaluation, cast: Cast, subject: ScorerResult) -> list[Comparison]:
    others: list[tuple[ScorerResult, str, str]] = []
    if cast.base is not None and cast.base is not subject:
        others.append((cast.base, "the base model", "the base model"))
    if cast.baseline is not None:
        full = f"the best of {counted(len(cast.of_kind('baseline')), 'baseline')}"
        others.append((cast.baseline, "the best baseline", f"{full}, {cast.baseline.name}"))
    told = cast.of_kind("evidence")
    if cast.tuned is not None and told:
        full = "a logistic regression on the evidence its prompts tell"
        others.append((told[0], "its evidence alone", full))
    return [_compare(evaluation, cast, subject, *other) for other in others]


def _compare(
    evaluation: Evaluation,
    cast: Cast,
    subject: ScorerResult,
    other: ScorerResult,
    label: str,
    full: str,
) -> Comparison:
    difference = difference_from(evaluation, subject.name, other.name)
    auc = difference.metrics.get(AUC.key) if difference is not None else None
    mine, theirs = auc_of(subject), auc_of(other)
    named = cast.named.capitalize()
    if auc is None or mine is None or theirs is None:
        measured = difference is not None and AUC.key in difference.metrics
        reason = f"undefined, since {ONE_LABEL}" if measured else NOT_MEASURED
        sentence = f"{named} cannot be compared with {full}: the difference in AUC is {reason}."
        return Comparison(label, "undefined", None, sentence)
    ruling = rule(auc)
    verb = "is" if ruling == "unclear" else "orders these rows"
    zero = "contains zero" if ruling == "unclear" else "is clear of zero"
    sentence = (
        f"{named} {verb} {_SHORT[ruling]} {full}: AUC {number(mine.value)} against "
        f"{number(theirs.value)}, a difference of {signed(auc.value)}. The 95 % interval, "
        f"{signed_between(auc)}, {zero}."
    )
    return Comparison(label, ruling, auc, sentence)


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
