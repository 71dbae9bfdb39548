"""Combines log-odds of several predictors: a regularized logistic regression with ranking loss.

The objective is the mean log loss, plus :data:`PAIRWISE_WEIGHT` times the RankNet loss of
:func:`reeltune.training.loss.pairwise_loss` over each user's rows, plus an L2 penalty of the
distance to a prior, in units of each input's standard deviation. It is convex. The ranking loss
shrinks the log-odds, so their slope and intercept are fitted again, to the log loss alone.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from reeltune.blas import one_blas_thread
from reeltune.models.calibration import fit_line
from reeltune.ragged import Floats, Ints, Labels
from reeltune.seeds import stream

MODEL: Final = "model"
BOOSTING: Final = "boosting"
SEQUENCE: Final = "sequence"
INTERCEPT: Final = "intercept"

PRIOR: Final = {MODEL: 0.25, BOOSTING: 0.5, SEQUENCE: 0.25}
"""Weights without any row. Boosting is the strongest; its number of trees is chosen on validation
rows, so they alone would give the others too little."""

PAIRWISE_WEIGHT: Final = 0.3
STRENGTHS: Final = (0.001, 0.01, 0.1, 1.0)
"""Strengths of the penalty tried; that of the lowest cross-fitted log loss is used."""

FOLDS: Final = 5
"""Of users."""

_LINE: Final = ((0.0, 4.0), (-4.0, 4.0))
"""Bounds of slope and intercept of the last fit: a few rows of one kind may ask for more."""

_PAIRS: Final = 200_000
"""Pairs of rows used at most: they bound time and memory."""

_MANY_ROWS: Final = 100_000
"""With more, fits follow one another: each copies the rows, and BLAS computes in threads."""

_HASH: Final = np.uint64(0x9E3779B97F4A7C15)
"""Multiplied with a key, its upper bits are spread evenly (Fibonacci hashing)."""


Pairs = tuple[Ints, Ints, Floats]
"""Indices of liked and of disliked rows, and weights, each of shape ``(pairs,)``."""

Inputs = Mapping[str, Floats]
"""Log-odds and further numbers by name, each of shape ``(n,)``."""

Weights = dict[str, float]
"""By the name of the input, with :data:`INTERCEPT`: in units of the inputs."""


@dataclass(frozen=True)
class Combination:
    """Fitted weights, and those fitted without the users of one fold each.

    Attributes:
        strength: Of the penalty.
        weights: Fitted on all rows.
        folds: Fitted without the rows of each fold of users, in their order.
    """

    strength: float
    weights: Weights
    folds: Sequence[Weights]

    def log_odds(self, inputs: Inputs, user_id: Ints | None = None) -> Floats:
        """Return the combined log-odds, shape ``(n,)``.

        Given the users of rows that it was fitted on, those of each by weights fitted without them.
        """
        fits = [self.weights] if user_id is None else self.folds
        some = {name: values for name, values in inputs.items() if name in fits[0]}
        every = np.array([[each[name] for name in (*some, INTERCEPT)] for each in fits])
        return (_table(some) * every[0 if user_id is None else fold_of(user_id)]).sum(axis=1)


def _table(inputs: Inputs) -> Floats:
    columns = list(inputs.values())
    return np.column_stack([*columns, np.ones(len(columns[0]))])


def fold_of(user_id: Ints) -> Ints:
    """Return the fold of each row's user, which depends on its key alone."""
    mixed = user_id.astype(np.uint64) * _HASH >> np.uint64(32)
    return (mixed % np.uint64(FOLDS)).astype(np.int64)


def combine(inputs: Inputs, liked: Labels, user_id: Ints, pairs: Pairs) -> Combination:
    """Fit a combination; the strength is that of the lowest cross-fitted log loss.

    Args:
        inputs: With one of :data:`PRIOR` at least.
        liked: Labels, shape ``(n,)``.
        user_id: Keys of the users whose rows they are, shape ``(n,)``.
        pairs: Of rows, from :func:`user_pairs`.
    """
    fold, tried = fold_of(user_id), []
    many = len(liked) > _MANY_ROWS
    blas = contextlib.nullcontext() if many else one_blas_thread()
    with blas, ThreadPoolExecutor(1 if many else None) as pool:  # NumPy releases the lock
        fits = pool.map(
            lambda trial: fit(inputs, liked, pairs, trial[0], fold != trial[1]),
            itertools.product(STRENGTHS, range(FOLDS)),
        )
        for strength in STRENGTHS:
            found = Combination(strength, {}, list(itertools.islice(fits, FOLDS)))
            tried.append((log_losses(liked, found.log_odds(inputs, user_id)).mean(), found))
        best = min(tried, key=lambda trial: trial[0])[1]
        return replace(best, weights=fit(inputs, liked, pairs, best.strength))


def fit(
    inputs: Inputs, liked: Labels, pairs: Pairs, strength: float, kept: Labels | None = None
) -> Weights:
    """Return the weights that minimize the objective, rescaled; arguments as of it."""
    objective = Objective(inputs, liked, pairs, strength, kept)
    best = minimize(objective, objective.prior, jac=True, method="L-BFGS-B")
    weights = best.x / objective.scale
    rows = slice(None) if kept is None else kept
    slope, shift = fit_line(liked[rows], _table(inputs)[rows] @ weights, (1.0, 0.0), _LINE)
    weights = slope * weights
    weights[-1] += shift
    return dict(zip(objective.names, weights.tolist(), strict=True))


class Objective:
    """What :func:`fit` minimizes, with its gradient; weights are of inputs divided by ``scale``.

    Args:
        inputs: As of :func:`combine`, as are the labels.
        pairs: Of rows, from :func:`user_pairs`.
        strength: Of the penalty.
        kept: The rows to learn from, shape ``(n,)``: all rows of some users; None for all.

    Attributes:
        names: Of the weights.
        scale: The standard deviation of each input; 1 where it is 0.
        prior: :data:`PRIOR` of those that are inputs, with the sum 1; 0 for all others.
    """

    def __init__(
        self,
        inputs: Inputs,
        liked: Labels,
        pairs: Pairs,
        strength: float,
        kept: Labels | None = None,
    ) -> None:
        self.names = (*inputs, INTERCEPT)
        whole, (yes, no, weight) = _table(inputs), pairs
        if kept is None:
            kept = np.ones(len(liked), dtype=bool)
        table, liked, own = whole[kept], liked[kept], kept[yes]
        spread = table.std(axis=0) if len(liked) else np.ones(len(self.names))
        self.scale = np.where(spread > 0, spread, 1.0)
        prior = np.array([PRIOR.get(name, 0.0) for name in self.names])
        self.prior = prior / prior.sum() * self.scale
        self._table, self._sign = table / self.scale, np.where(liked, 1.0, -1.0)
        self._pairs = (whole[yes[own]] - whole[no[own]]) / self.scale
        self._pair_weight = weight[own]
        self._strength, self._rows = strength, max(1, len(liked))

    def __call__(self, weights: Floats) -> tuple[float, Floats]:
        """Return the value and the gradient at some weights."""
        margin, apart = self._sign * (self._table @ weights), self._pairs @ weights
        moved = weights - self.prior
        value = (
            np.logaddexp(0.0, -margin).sum()
            + PAIRWISE_WEIGHT * self._pair_weight @ np.logaddexp(0.0, -apart)
        ) / self._rows + self._strength * moved @ moved
        gradient = (
            -(self._sign * expit(-margin)) @ self._table
            - PAIRWISE_WEIGHT * (self._pair_weight * expit(-apart)) @ self._pairs
        ) / self._rows + 2 * self._strength * moved
        return float(value), gradient


def user_pairs(liked: Labels, user_id: Ints, limit: int = _PAIRS) -> Pairs:
    """Return pairs of a liked and a disliked row of one user, with their weights.

    The weights of a user's pairs are equal and add up to their number of rows, as in training. Of
    many pairs, random ones are used.
    """
    _, counts = np.unique(user_id, return_counts=True)
    users = np.split(np.argsort(user_id, kind="stable"), np.cumsum(counts)[:-1])
    random = stream(0, "pairs of a user")
    most, found = limit // max(1, len(users)) + 1, []
    for rows in users:
        yes, no = rows[liked[rows]], rows[~liked[rows]]
        pairs = np.arange(len(yes) * len(no))
        if len(pairs) > most:
            pairs = random.integers(len(pairs), size=most)
        if len(pairs):
            weight = np.full(len(pairs), len(rows) / len(pairs))
            found.append((yes[pairs // len(no)], no[pairs % len(no)], weight))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    yes, no, weight = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return yes, no, weight


def log_losses(liked: Labels, log_odds: Floats) -> Floats:
    """Return the log loss of each row, in nats."""
    return np.logaddexp(0.0, np.where(liked, -log_odds, log_odds))


def standard_error(differences: Floats, user_id: Ints) -> float:
    """Return the standard error of a mean over rows, with the rows of a user taken together."""
    _, user = np.unique(user_id, return_inverse=True)
    of_users = np.bincount(user, differences - differences.mean())
    return float(np.sqrt(of_users @ of_users)) / len(differences)
