"""The parts of a made-up evaluation: groups, ablations, reliability, examples."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.predictions import Floats, PredictionTable
from reeltune.evaluation.result import (
    Ablation,
    Breakdown,
    Example,
    Group,
    Kind,
    PastEvent,
    Reliability,
    ReliabilityBin,
    TopTen,
)

SKILL: dict[str, tuple[Kind, float]] = {
    "tuned": ("tuned", 1.35),
    "base": ("base", 0.15),
    "share of Yes": ("baseline", 0.0),
    "film mean": ("baseline", 0.8),
    "user mean": ("baseline", 0.75),
    "user and film means": ("baseline", 1.2),
    "item neighbours": ("baseline", 1.05),
    "matrix factorization (biased, 64 factors)": ("baseline", 1.1),
    "logistic regression on running means": ("baseline", 1.33),
}
"""Scorers by name: what they are, and how much of the truth they see."""

WITH_FUSION: dict[str, tuple[Kind, float]] = {
    "shipped": ("shipped", 1.5),
    **SKILL,
    "shipped without the model": ("signals", 1.25),
}

TITLES = (
    "Heat (1995)",
    "Fargo (1996)",
    "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
    "Crouching Tiger, Hidden Dragon (Wo hu cang long) (2000)",
    "Alien (1979)",
    "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1964)",
    "Casino (1995)",
    "Toy Story (1995)",
    "Paris, Texas (1984)",
)


def around(value: float, half: float = 0.012) -> Interval:
    return Interval(float(value), float(value) - half, float(value) + half, 1000, 60)


def breakdowns(names: list[str]) -> list[Breakdown]:
    random = np.random.default_rng(11)
    properties = {
        "history length": ("15 to 24", "25 to 49", "50 to 99", "100 and more"),
        "popularity of the film": ("rarely rated", "seldom", "often", "most often rated"),
        "decade of the film": ("before 1970", "1970s", "1980s", "1990s", "2000s", "unknown year"),
        "genre": ("Action", "Comedy", "Drama", "Documentary", "Horror", "(no genres listed)"),
    }
    return [
        Breakdown(
            name,
            f"Rows by {name}, cut so that the groups are about equally large.",
            [
                _group(label, names, random, empty=label in ("unknown year", "(no genres listed)"))
                for label in labels
            ],
        )
        for name, labels in properties.items()
    ]


def _group(label: str, names: list[str], random: np.random.Generator, empty: bool) -> Group:
    if empty:
        return Group(label, 0, 0, None, dict.fromkeys(names))
    rows = int(random.integers(80, 4000))
    auc = {
        name: around(0.55 + 0.16 * WITH_FUSION[name][1] + 0.02 * random.normal(), 1 / np.sqrt(rows))
        for name in names
    }
    lead: dict[str, Interval | None] = {name: around(-0.0125) for name in names[1:2]}
    share = float(random.uniform(0.3, 0.7))
    return Group(label, rows, rows // 15 + 1, share, dict(auc), lead=lead)


def cold_to_warm(names: list[str]) -> list[Breakdown]:
    random = np.random.default_rng(5)
    properties = {
        "ratings of the user": ("0", "1", "2 to 4", "5 to 9", "10 to 19", "20 and more"),
        "training ratings of the item": ("0", "1 to 2", "3 to 9", "10 and more"),
    }
    return [
        Breakdown(name, f"Rows by {name}.", [_from_cold(label, names, random) for label in labels])
        for name, labels in properties.items()
    ]


def _from_cold(label: str, names: list[str], random: np.random.Generator) -> Group:
    if label == "1":
        none = dict.fromkeys(names)
        return Group(label, 12, 11, 0.5, none, none, none, "fewer than 30 rows")
    group = _group(label, names, random, empty=False)
    wide = {name: around(auc.value, 0.04) for name, auc in group.auc.items() if auc is not None}
    return replace(
        group,
        auc=dict(wide),
        log_loss={name: around(1.2 - auc.value) for name, auc in wide.items()},
        lead={n: around(wide[names[0]].value - auc.value, 0.02) for n, auc in wide.items()},
    )


def top_ten(names: list[str]) -> TopTen:
    values = {"precision_at_10": 0.75, "popularity": 43.5, "popularity_lift": 0.25, "novelty": 4.5}
    metrics = {n: {k: around(v) for k, v in values.items()} | {"diversity": None} for n in names}
    all_rows = {"precision_at_10": 0.5, "popularity": 34.75, "novelty": 5.0}
    return TopTen(60, 1200, 900, all_rows, dict.fromkeys(names, 0.625), metrics)


def fusion() -> dict[str, Any]:
    """Return what an evaluation says of a fusion that is used."""
    return {
        "rows": 4000,
        "users": 590,
        "used": True,
        "validation": {
            "fusion": 0.51,
            "model": 0.53,
            "without_model": 0.54,
            "standard_error": 0.01,
        },
        "full": {"weights": {"model": 0.6, "boosting": 0.3, "expected": 0.15, "intercept": -0.02}},
        "without_model": {"weights": {"boosting": 0.7, "expected": 0.35, "intercept": 0.01}},
    }


def ablations() -> list[Ablation]:
    return [
        Ablation(
            "titles hidden",
            "Every title is replaced by a number, years and stars stay. A loss is what the model "
            "knows of films by name.",
            600,
            around(0.752),
            around(-0.061, 0.012),
        ),
        Ablation(
            "stars hidden",
            "The history is shown without stars. A loss is what the model makes of taste.",
            600,
            around(0.701),
            around(-0.112, 0.014),
        ),
        Ablation(
            "history of somebody else",
            "The history is another user's. A loss is what is personal.",
            600,
            around(0.689),
            around(-0.124, 0.013),
        ),
        Ablation("candidate alone", "No history at all; all rows had one label.", 600, None, None),
    ]


def reliability(predictions: PredictionTable) -> list[Reliability]:
    p_yes = next(iter(predictions.p_yes.values()))
    steps = {
        "as the model gives it": p_yes,
        "temperature": expit(1.2 * np.log(p_yes / (1 - p_yes))),
        "platt": expit(1.3 * np.log(p_yes / (1 - p_yes)) - 0.1),
        "isotonic": expit(1.1 * np.log(p_yes / (1 - p_yes)) + 0.03),
    }
    return [_reliable(name, predictions.liked, values) for name, values in steps.items()]


def _reliable(name: str, liked: np.ndarray, p_yes: Floats) -> Reliability:
    edges = np.linspace(0, 1, 16)
    bins = []
    for low, high in pairwise(edges):
        inside = (p_yes >= low) & (p_yes < high)
        some = bool(inside.any())
        bins.append(
            ReliabilityBin(
                float(low),
                float(high),
                int(inside.sum()),
                float(p_yes[inside].mean()) if some else None,
                float(liked[inside].mean()) if some else None,
            )
        )
    drawn = np.random.default_rng(0).random((50, len(p_yes))) < p_yes
    chance = np.array([gap(labels, p_yes) for labels in drawn])
    errors = gap(liked, p_yes), float(chance.mean()), float(np.quantile(chance, 0.95))
    scores = float(log_loss(liked, p_yes)), float(brier_score_loss(liked, p_yes))
    return Reliability(name, bins, *errors, *scores)


def gap(liked: np.ndarray, p_yes: Floats) -> float:
    """The expected calibration error over fifteen bins."""
    place = np.minimum((p_yes * 15).astype(int), 14)
    gaps = np.bincount(place, weights=p_yes - liked, minlength=15)
    return float(np.abs(gaps).sum() / len(liked))


def examples(predictions: PredictionTable, names: list[str]) -> list[Example]:
    whys = ("confident and right", "confident and wrong", "training changed its mind",
            "the baseline knew better", "undecided")  # fmt: skip
    rating = (4.5, 3.0, 5.0, 0.5, 2.5, 4.0)
    return [
        Example(
            why=whys[place % len(whys)],
            user_id=int(predictions.user_id[place]),
            history=[
                PastEvent(TITLES[(place + i) % len(TITLES)], rating[(place * i) % len(rating)])
                for i in range(15)
            ],
            candidate=TITLES[(place * 4 + 2) % len(TITLES)],
            rating=4.5 if predictions.liked[place] else 2.5,
            liked=bool(predictions.liked[place]),
            p_yes={name: float(predictions.p_yes[name][place]) for name in names},
        )
        for place in range(10)
    ]
