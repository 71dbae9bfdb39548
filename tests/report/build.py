"""An evaluation made up from a seed, with everything a report can show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit
from sklearn.metrics import brier_score_loss, f1_score, log_loss, roc_auc_score

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import (
    Difference,
    Evaluation,
    Kind,
    ScorerResult,
)
from reeltune.report.learning import TrainingCurves
from tests.report.parts import (
    SKILL,
    ablations,
    around,
    breakdowns,
    cold_to_warm,
    examples,
    fusion,
    gap,
    reliability,
    top_ten,
)

METRICS = (
    "auc",
    "auc_per_user_mean",
    "log_loss",
    "brier",
    "ece",
    "accuracy_chosen",
    "f1_chosen",
    "ndcg_at_10",
)


def make_predictions(
    rows: int = 600, skill: dict[str, tuple[Kind, float]] = SKILL
) -> PredictionTable:
    """Rows of both labels with predictions that know as much of the truth as the skills say."""
    random = np.random.default_rng(7)
    taste = random.normal(size=rows)
    liked = random.random(rows) < expit(1.2 * taste)
    event = np.arange(rows)
    found = PredictionTable(
        split="test",
        event=event,
        user_id=event // 15 + 1,
        item_id=random.integers(1, 9000, rows),
        position=event % 40 + 15,
        timestamp=event + 1_500_000_000,
        liked=liked,
        p_yes={},
    )
    for name, (_, seen) in skill.items():
        found = found.scored(name, expit(seen * taste + 0.7 * random.normal(size=rows)))
    return found


def make_evaluation(
    predictions: PredictionTable, skill: dict[str, tuple[Kind, float]] = SKILL
) -> Evaluation:
    """What could have been found on these rows."""
    scorers = [_scorer(name, kind, predictions) for name, (kind, _) in skill.items()]
    return Evaluation(
        about={
            "data": "ml-latest-small, split user, 610 users, 9,742 films",
            "adapter": "output/qwen3-movielens-qlora",
            "model": "Qwen/Qwen3-0.6B, 4 bits (nf4), bfloat16",
            "configuration": f"sha256 {'7f9a1c4e5b8d2f6a' * 4}",
            "versions": "reeltune 0.1.0, torch 2.13.0, transformers 5.17.0, peft 0.21.2",
            "machine": "Linux x86_64, 2 cores, one GPU",
            "seed": "42",
            "time": "2026-11-22 15:40 UTC, 312 seconds",
        },
        split="test",
        rows=len(predictions),
        users=len(np.unique(predictions.user_id)),
        positive_rate=float(predictions.liked.mean()),
        scorers=scorers,
        differences=[
            _difference(model, other)
            for index, model in enumerate(scorers)
            if index == 0 or model.kind == "tuned"
            for other in scorers[index + 1 :]
        ],
        breakdowns=breakdowns(list(skill)),
        cold_to_warm=cold_to_warm(list(skill)),
        top_ten=top_ten(list(skill)),
        ablations=ablations(),
        reliability=reliability(predictions),
        examples=examples(predictions, list(skill)),
        warnings=[
            "The user split lets a model see later ratings of other users.",
            "Only a sample of the rows was scored: 600 of 8,902.",
        ],
        fusion=fusion() if "shipped" in skill else {},
    )


def make_training(steps: int = 400) -> TrainingCurves:
    """A run that learned quickly, then slowly."""
    random = np.random.default_rng(3)
    logged = np.arange(1, steps + 1)
    loss = 0.58 + 0.25 * np.exp(-logged / 40) + 0.01 * random.normal(size=steps)
    asked = [int(step) for step in np.linspace(steps / 10, steps, 10)]
    return TrainingCurves(
        loss=[(int(step), float(value)) for step, value in zip(logged, loss, strict=True)],
        validation={
            "auc": [(step, float(0.8 - 0.2 * np.exp(-step / 90))) for step in asked],
            "log_loss": [(step, float(0.55 + 0.12 * np.exp(-step / 80))) for step in asked],
        },
        kept_step=asked[-2],
    )


def without(evaluation: Evaluation, key: str) -> Evaluation:
    """The same with one metric undefined for every scorer and difference."""
    return replace(
        evaluation,
        scorers=[replace(s, metrics={**s.metrics, key: None}) for s in evaluation.scorers],
        differences=[replace(d, metrics={**d.metrics, key: None}) for d in evaluation.differences],
    )


def _scorer(name: str, kind: Kind, predictions: PredictionTable) -> ScorerResult:
    p_yes, liked = predictions.p_yes[name], predictions.liked
    auc = roc_auc_score(liked, p_yes)
    values = (
        auc,
        auc - 0.03,
        log_loss(liked, p_yes),
        brier_score_loss(liked, p_yes),
        gap(liked, p_yes),
        float(((p_yes >= 0.48) == liked).mean()),
        f1_score(liked, p_yes >= 0.48),
        auc - 0.07,
    )
    settings = {} if kind in ("tuned", "base") else {"strength": 0.1, "chosen_from": [0.01, 0.1, 1]}
    metrics: dict[str, Interval | None] = {
        key: around(float(value)) for key, value in zip(METRICS, values, strict=True)
    }
    return ScorerResult(name, kind, metrics, 0.48, settings, 12.5 if settings else None)


def _difference(tuned: ScorerResult, other: ScorerResult) -> Difference:
    found: dict[str, Interval | None] = {}
    for key in METRICS:
        mine, theirs = tuned.metrics[key], other.metrics[key]
        assert mine is not None
        assert theirs is not None
        found[key] = around(mine.value - theirs.value, 0.009)
    return Difference(tuned.name, other.name, found)
