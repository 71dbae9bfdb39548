"""Roles of the scorers: the shipped one, tuned and base model, the best baseline, and the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

from reeltune.evaluation.result import Difference, Evaluation, Kind, ScorerResult
from reeltune.report.metric_labels import AUC, MetricLabel

Role = Literal["shipped", "tuned", "base", "baseline"]
"""The scorers that every chart shows in full."""

_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True)
class Roles:
    """The scorers of an evaluation by role.

    Attributes:
        shipped: The fusion, if it is what commands answer with.
        tuned: The tuned model, if it was scored.
        base: The base model, if it was scored.
        baseline: The best baseline by AUC, if there is one.
        ordered: All scorers by kind, and within a kind by AUC, best first, undefined ones last.
    """

    shipped: ScorerResult | None
    tuned: ScorerResult | None
    base: ScorerResult | None
    baseline: ScorerResult | None
    ordered: list[ScorerResult]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Roles:
        """Return the roles in an evaluation."""
        ordered = sorted(
            evaluation.scorers, key=lambda scorer: (_KINDS.index(scorer.kind), -_value(scorer, AUC))
        )
        shipped, tuned, base = (
            next((s for s in ordered if s.kind == kind), None)
            for kind in ("shipped", "tuned", "base")
        )
        best = strongest(evaluation, ordered, AUC, "baseline")
        return cls(shipped, tuned, base, best, ordered)

    @property
    def model(self) -> ScorerResult | None:
        """The model of the report: the shipped one, else the tuned or the base model."""
        return self.shipped or self.tuned or self.base

    @property
    def model_label(self) -> str:
        """The model of the report in words."""
        if self.shipped is not None:
            return "the shipped predictor"
        return "the tuned model" if self.tuned is not None else "the base model"

    @property
    def minus_label(self) -> str:
        """The heading above the scorers that are subtracted from the model."""
        return f"{self.model_label.split()[1].capitalize()} minus"

    @property
    def leads(self) -> dict[Role, ScorerResult]:
        """The scorers shown in full, by role."""
        roles: dict[Role, ScorerResult | None] = {
            "shipped": self.shipped,
            "tuned": self.tuned,
            "base": self.base,
            "baseline": self.baseline,
        }
        return {role: scorer for role, scorer in roles.items() if scorer is not None}

    def of_kind(self, kind: Kind) -> list[ScorerResult]:
        """Return the scorers of one kind, best first."""
        return [scorer for scorer in self.ordered if scorer.kind == kind]

    def sorted(self, differences: list[Difference]) -> list[Difference]:
        """Return differences in the order of their other scorers."""
        index = {scorer.name: i for i, scorer in enumerate(self.ordered)}
        return sorted(differences, key=lambda difference: index[difference.other])


def strongest(
    evaluation: Evaluation, scorers: list[ScorerResult], metric: MetricLabel, kind: Kind
) -> ScorerResult | None:
    """Return the scorer of a kind to compare the model with by a metric.

    The one chosen on validation rows, else the best on these rows; None if there is none.
    """
    of_kind = [scorer for scorer in scorers if scorer.kind == kind]
    chosen = evaluation.strongest.get(metric.key, {}).get(kind)
    best = max(of_kind, key=lambda scorer: _value(scorer, metric), default=None)
    return next((scorer for scorer in of_kind if scorer.name == chosen), best)


def _value(scorer: ScorerResult, metric: MetricLabel) -> float:
    interval = scorer.metrics.get(metric.key)
    return -math.inf if interval is None else interval.value
