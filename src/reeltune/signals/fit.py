"""Fits the hyperparameters of the Gaussian process to the training ratings of a data set.

They minimize the log loss of training rows of some users, each predicted from the events before it,
plus a log-normal prior around the shipped ones: what the ratings do not determine stays as shipped.
Validation rows decide whether they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular, toeplitz
from scipy.optimize import minimize

from reeltune.blas import one_blas_thread
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Bools, Ints
from reeltune.domain import GP_HYPERPARAMETERS, GPHyperparameters
from reeltune.ragged import auc_per_user
from reeltune.seeds import stream
from reeltune.signals.running_statistics import Floats
from reeltune.signals.source import SignalSource
from reeltune.signals.target import decision_boundary, gp_target, like_probability

MIN_ROWS: Final = 10_000
"""Training rows below which nothing is fitted: it would be mostly noise."""

_EVENTS: Final = 300
"""Newest events of each timeline that are used: the cost is cubic in their number."""

_PAIRS: Final = 4_000_000
"""Pairs of events of one timeline, over all timelines fitted to: they bound time and memory."""

_VALIDATION_PAIRS: Final = 4 * _PAIRS
"""The same of timelines to decide by: each is looked at twice and then dropped."""

_SEED: Final = 0
"""The sample belongs to the data, not to a run."""

_NAMES: Final = tuple(asdict(GP_HYPERPARAMETERS))
_SHIPPED: Final = np.log([*asdict(GP_HYPERPARAMETERS).values()])


class Timeline:
    """Events of one user, with what their covariances are made of.

    Args:
        source: Has the events.
        events: Their indices, oldest first, shape ``(n,)``.
        scored: For every event of the source, whether it is predicted or only conditioned on.
    """

    def __init__(self, source: SignalSource, events: Ints, scored: Bools) -> None:
        known, items = source.known, source.known.item_idx[events].astype(np.int64)
        similarity = source.similarities.of_fold(int(source.fold[events[0]]))
        self.liked, self.scored = known.liked[events], scored[events]
        self._targets = gp_target(known.rating[events], self.liked)
        self._residuals = self._targets - similarity.mean[items]
        self._inverse_count = similarity.inverse_count[items]
        years = similarity.years[items].astype(np.float32)
        self._years_apart = np.abs(np.subtract.outer(years, years))
        self._products = {
            name: product.astype(np.float32) for name, product in similarity.products(items)
        }

    def expected(self, process: GPHyperparameters) -> Floats:
        """Return the expected target of every event given those before it, shape ``(n,)``."""
        root, innovations = self._factored(self._terms(process))
        return self._targets - np.diag(root) * innovations

    def loss(self, process: GPHyperparameters, boundary: float) -> tuple[float, Floats]:
        """Return the summed log loss of scored events, and its gradient by the logarithms."""
        terms = self._terms(process)
        root, innovations = self._factored(terms)
        deviation, sign = np.diag(root), np.where(self.liked, 1.0, -1.0)
        logits = (self._targets - deviation * innovations - boundary) / process.spread
        by_logit = -sign * self.scored / (1 + np.exp(sign * logits))
        # If the covariance L L' changes by dK, the expected target of event i changes by
        # deviation[i] times the sum over j < i of (L^-1 dK L^-T)[i, j] innovations[j].
        weights = np.tril(np.outer(by_logit * deviation / process.spread, innovations), -1)
        for _ in range(2):
            weights = solve_triangular(root, weights, lower=True, trans=1).T
        gradient: dict[str, Any] = {
            name: np.vdot(weights, term) if np.ndim(term) == 2 else np.diag(weights) @ term
            for name, term in terms.items()
        }
        gradient["spread"] = -np.vdot(by_logit, logits)
        losses = np.logaddexp(0, -sign * logits)[self.scored]
        return float(losses.sum()), np.array([float(gradient[name]) for name in _NAMES])

    def _terms(self, process: GPHyperparameters) -> dict[str, npt.NDArray[Any]]:
        """Return the derivative of the covariance by the logarithm of each hyperparameter.

        That of a variance is its term of the covariance; terms of the diagonal are vectors.
        """
        apart = np.arange(len(self.liked), dtype=np.float64)
        terms = {
            name: np.float32(getattr(process, name)) * product
            for name, product in self._products.items()
        }
        for name in ("long_term", "short_term"):
            lengths = apart / getattr(process, f"{name}_length")
            decay = getattr(process, name) * np.exp(-lengths)
            terms[name], terms[f"{name}_length"] = toeplitz(decay), toeplitz(decay * lengths)
        lengths = self._years_apart / np.float32(process.years_length)
        terms["years"] = np.float32(process.years) * np.exp(-lengths)
        terms["years_length"] = terms["years"] * lengths
        terms["noise"] = np.full(len(apart), process.noise)
        terms["item_mean_variance"] = process.item_mean_variance * self._inverse_count
        return terms

    def _factored(self, terms: dict[str, npt.NDArray[Any]]) -> tuple[Floats, Floats]:
        covariance = np.diag(terms["noise"] + terms["item_mean_variance"])
        for name, term in terms.items():
            if np.ndim(term) == 2 and not name.endswith("_length"):
                covariance += term
        root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        return root, solve_triangular(root, self._residuals, lower=True)


def fit_signals(folder: PreparedFolder, notify: Callable[[str], None]) -> dict[str, Any]:
    """Fit the hyperparameters; return the section ``signals`` of ``meta.json``.

    Args:
        folder: The prepared data.
        notify: Receives what is fitted, and which hyperparameters are used and why.
    """
    split = folder.ratings.split
    rows, reason = int((split == TRAIN).sum()), None
    if rows < MIN_ROWS:
        reason = f"fewer than {MIN_ROWS:,} training rows ({rows:,})"
    elif not (split == VALIDATION).any():
        reason = "no validation rows to decide by"
    if reason is not None:
        notify(f"Signals: {reason}: the shipped hyperparameters are kept")
        return {"fitted": False, "reason": reason}
    settings = replace(folder.prompt_settings, signals=("expected",))
    source = SignalSource(folder.ratings, folder.items, settings, auxiliary=folder.auxiliary)
    with one_blas_thread():  # rounding does not depend on the number of cores
        training = training_timelines(source)
        rows = sum(int(timeline.scored.sum()) for timeline in training)
        notify(f"Signals: fitting to {rows:,} training rows of {len(training):,} users")
        process = fit(training, decision_boundary(settings))
        validation = _compare(source, process)
    fitted = bool(validation["log_loss"]["difference"] < -validation["standard_error"])
    figures = "; ".join(
        f"{name} {validation[name]['shipped']} shipped, {validation[name]['fitted']} fitted"
        for name in ("log_loss", "auc", "auc_per_user_mean")
    )
    notify(
        f"Signals: on {validation['rows']:,} validation rows {figures}; standard error of the "
        f"difference in log loss {validation['standard_error']}: "
        f"the {'fitted' if fitted else 'shipped'} hyperparameters are used"
    )
    section = {"fitted": fitted, "rows": rows, "users": len(training), "validation": validation}
    return section | ({"gaussian_process": asdict(process)} if fitted else {})


def fit(timelines: list[Timeline], boundary: float) -> GPHyperparameters:
    """Return the hyperparameters of the least log loss and prior, to three significant digits.

    Args:
        timelines: Events of some users.
        boundary: The target of an even chance of a like.
    """
    rows = sum(int(timeline.scored.sum()) for timeline in timelines)

    def objective(logarithms: Floats) -> tuple[float, Floats]:
        moved = logarithms - _SHIPPED
        process = GPHyperparameters(*np.exp(logarithms).tolist())
        losses = [timeline.loss(process, boundary) for timeline in timelines]
        total = sum(loss for loss, _ in losses) + float(moved @ moved) / 2
        return total / rows, (sum(gradient for _, gradient in losses) + moved) / rows

    optimum = minimize(
        objective,
        _SHIPPED,
        jac=True,
        method="L-BFGS-B",
        bounds=[(value - 4, value + 4) for value in _SHIPPED],
        options={"ftol": 1e-6, "maxfun": 60},
    )
    return GPHyperparameters(*(float(f"{value:.3g}") for value in np.exp(optimum.x)))


def training_timelines(source: SignalSource) -> list[Timeline]:
    """Return training timelines of random users, without any event of another split."""
    learned_from = np.zeros(len(source.known), dtype=np.bool_)
    learned_from[source.ratings] = True
    train = source.known.split == TRAIN
    return list(_timelines(source, learned_from, train, _PAIRS, "users fitted to"))


def _timelines(
    source: SignalSource, used: Bools, scored: Bools, limit: int, name: str
) -> Iterator[Timeline]:
    """Yield the used events of random users, up to the last scored one of each."""
    ends, chosen, pairs = np.append(source.first[1:], len(source.known)), [], 0
    for user in stream(_SEED, name).permutation(len(ends)).tolist():
        if pairs > limit:
            break
        events = np.arange(int(source.first[user]), int(ends[user]))
        if not scored[events].any():
            continue
        events = events[: 1 + np.flatnonzero(scored[events])[-1]]
        chosen.append(events[used[events]][-_EVENTS:])
        pairs += len(chosen[-1]) ** 2
    # Fold by fold: the similarities of a fold serve all its users.
    chosen.sort(key=lambda events: source.fold[events[0]])
    for events in chosen:
        yield Timeline(source, events, scored)


def _compare(source: SignalSource, process: GPHyperparameters) -> dict[str, Any]:
    """Compare shipped and fitted hyperparameters on validation rows; nothing has test events."""
    used, scored = source.known.split != TEST, source.known.split == VALIDATION
    processes = {"shipped": GP_HYPERPARAMETERS, "fitted": process}
    liked, expected = [], []
    for timeline in _timelines(source, used, scored, _VALIDATION_PAIRS, "users to decide by"):
        liked.append(timeline.liked[timeline.scored])
        expected.append([timeline.expected(each)[timeline.scored] for each in processes.values()])
    user = np.repeat(np.arange(len(liked)), [len(each) for each in liked])
    likes = np.concatenate(liked)
    metrics: dict[str, Any] = {"log_loss": {}, "auc": {}, "auc_per_user_mean": {}}
    losses = []
    for (name, each), targets in zip(processes.items(), np.hstack(expected), strict=True):
        chance = like_probability(targets, replace(source.settings, gaussian_process=each))
        losses.append(-np.log(np.where(likes, chance, 1 - chance)))
        metrics["log_loss"][name] = round(float(losses[-1].mean()), 5)
        metrics["auc"][name] = _mean_auc(likes, chance, np.zeros_like(user))
        metrics["auc_per_user_mean"][name] = _mean_auc(likes, chance, user)
    difference = losses[1] - losses[0]
    by_user = np.bincount(user, difference - difference.mean())
    metrics["log_loss"]["difference"] = round(float(difference.mean()), 5)
    error = round(float(np.sqrt(by_user @ by_user)) / len(likes), 5)
    return {"rows": len(likes), "users": len(liked), **metrics, "standard_error": error}


def _mean_auc(likes: Bools, chance: Floats, user: Ints) -> float | None:
    """Return the mean AUC of users; None if nobody has both labels."""
    auc = auc_per_user(likes, chance, user)
    return None if np.isnan(auc).all() else round(float(np.nanmean(auc)), 4)
