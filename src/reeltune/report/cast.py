"""Who plays which part: the tuned model, its base, the best baseline, and everybody in order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Difference, Evaluation, Kind, ScorerResult
from reeltune.report.shown import AUC, ShownMetric

Role = Literal["tuned", "base", "baseline"]
"""The scorers drawn in full in every chart."""

_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True)
class Cast:
    """The scorers of an evaluation by the part they play.

    Attributes:
        tuned: The tuned model, if one was scored.
        base: The base model, if it was scored.
        baseline: The baseline to beat, by AUC; None if none was fitted.
        ordered: All scorers by kind, and within a kind by AUC, best first, undefined ones last.
    """

    tuned: ScorerResult | None
    base: ScorerResult | None
    baseline: ScorerResult | None
    ordered: list[ScorerResult]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Cast:
        """Return the parts the scorers of an evaluation play."""
        ordered = sorted(
            evaluation.scorers, key=lambda scorer: (_KINDS.index(scorer.kind), -_value(scorer, AUC))
        )
        first = {kind: next((s for s in ordered if s.kind == kind), None) for kind in _KINDS}
        baseline = strongest(evaluation, ordered, AUC, "baseline")
        return cls(first["tuned"], first["base"], baseline, ordered)

    @property
    def subject(self) -> ScorerResult | None:
        """Whom the report is about: the tuned model, or the base model where there is none."""
        return self.tuned or self.base

    @property
    def named(self) -> str:
        """The subject, for people."""
        return "the tuned model" if self.tuned is not None else "the base model"

    @property
    def leads(self) -> dict[Role, ScorerResult]:
        """The scorers drawn in full, by role; those that are missing left out."""
        parts: dict[Role, ScorerResult | None] = {
            "tuned": self.tuned,
            "base": self.base,
            "baseline": self.baseline,
        }
        return {role: scorer for role, scorer in parts.items() if scorer is not None}

    def of_kind(self, kind: Kind) -> list[ScorerResult]:
        """Return the scorers of one kind, best first."""
        return [scorer for scorer in self.ordered if scorer.kind == kind]


def difference_from(evaluation: Evaluation, scorer: str, other: str) -> Difference | None:
    """Return what was found when a scorer was compared with another; None if it was not."""
    return next((d for d in evaluation.differences if (d.scorer, d.other) == (scorer, other)), None)


def auc_of(scorer: ScorerResult) -> Interval | None:
    """Return a scorer's AUC; None where it is not defined or not measured."""
    return scorer.metrics.get(AUC.key)


def strongest(
    evaluation: Evaluation, scorers: list[ScorerResult], metric: ShownMetric, kind: Kind
) -> ScorerResult | None:
    """Return the scorer of a kind that is to be beaten in a metric.

    Returns:
        The one chosen on validation rows; without a choice, the best on these rows; None where
        there is none of the kind.
    """
    own = [scorer for scorer in scorers if scorer.kind == kind]
    chosen = evaluation.strongest.get(metric.key, {}).get(kind)
    best = max(own, key=lambda scorer: _value(scorer, metric), default=None)
    return next((scorer for scorer in own if scorer.name == chosen), best)


def _value(scorer: ScorerResult, metric: ShownMetric) -> float:
    found = scorer.metrics.get(metric.key)
    return -math.inf if found is None else found.value
