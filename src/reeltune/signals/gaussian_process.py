"""What to expect of a user and a film: one Gaussian process along each user's timeline.

What a user says of a film above its mean is taken as a sum of parts. Each part is alike between two
events for a reason of its own: they are near in the timeline, other users rate both films alike,
the same users rate both, they share genres or years, they are equally known or praised. The
expectation of an event is the mean of that process given the user's earlier events: Rasmussen and
Williams (2006), chapter 2, https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular, toeplitz

from reeltune.signals.gp_hyperparameters import GP_HYPERPARAMETERS, GPHyperparameters
from reeltune.signals.item_similarity import ItemSimilarities, ItemSimilarity

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STRIDE: Final = 2048
"""Of long timelines, at least so many of the newest events are looked at and fewer than twice as
many: what an event costs grows with the square of their number."""


class GaussianProcess:
    """What to expect, from training ratings and from the user's own earlier events.

    Args:
        similarities: Which films are alike, for each part of the users.

    Attributes:
        hyperparameters: How much each part of the process weighs.
    """

    def __init__(self, similarities: ItemSimilarities) -> None:
        self.hyperparameters = GP_HYPERPARAMETERS
        self._similarities = similarities

    def posterior(self, fold: int, item_idx: Ints, targets: Floats) -> Posterior:
        """Return what one user's events tell.

        Args:
            fold: The part of the users that is not asked; ``FOLDS`` for none.
            item_idx: The user's films in order, shape ``(n,)``.
            targets: What came of them, shape ``(n,)``.
        """
        return Posterior(self._similarities.of_fold(fold), self.hyperparameters, item_idx, targets)

    def with_hyperparameters(self, hyperparameters: GPHyperparameters) -> GaussianProcess:
        """Return the same with other weights; what it is made of is shared."""
        other = copy(self)
        other.hyperparameters = hyperparameters
        return other


@dataclass(frozen=True)
class _Chunk:
    """Events that are asked about, after events that are only looked at.

    The outcomes ``y`` above their films' means have a covariance ``L L'``, and ``y = L z`` where
    the entries of ``z`` are independent and have the variance 1: ``z[i]`` is what event ``i`` tells
    that no earlier one did.

    Attributes:
        first: The first event that is asked about; those before it are only looked at.
        root: The lower Cholesky factor ``L``, shape ``(k, k)``.
        innovations: ``z``, shape ``(k,)``.
    """

    first: int
    root: Floats
    innovations: Floats

    def expected(self) -> Floats:
        """Return what to expect of each event asked about, given all before it.

        ``y[i]`` is the sum over ``j <= i`` of ``L[i, j] z[j]``. Earlier events have told all of
        ``z`` but its own entry, whose mean is 0: the lower triangle without its diagonal is left.
        """
        return (np.tril(self.root, -1) @ self.innovations)[self.first :]

    def negative_log_likelihood(self) -> float:
        """Return the negative logarithm of how likely the outcomes asked about are.

        Given all before it, ``y[i]`` is normal with the standard deviation ``L[i, i]`` and lies
        ``z[i]`` of them from its mean.
        """
        innovations, deviation = self.innovations[self.first :], np.diag(self.root)[self.first :]
        return float(
            (innovations**2).sum() / 2
            + np.log(deviation).sum()
            + len(innovations) * np.log(2 * np.pi) / 2
        )


class Posterior:
    """One user's events, and what follows from them.

    Args:
        similarity: Which films are alike, to those who are asked.
        hyperparameters: How much each part of the process weighs.
        item_idx: The user's films in order, shape ``(n,)``.
        targets: What came of them, shape ``(n,)``.
    """

    def __init__(
        self,
        similarity: ItemSimilarity,
        hyperparameters: GPHyperparameters,
        item_idx: Ints,
        targets: Floats,
    ) -> None:
        self._similarity, self._hyperparameters = similarity, hyperparameters
        self._item_idx = item_idx
        self._above = targets - similarity.mean[item_idx]

    def before_each_event(self) -> Floats:
        """Return the outcome to expect of each event, from earlier ones; shape ``(n,)``."""
        total = [chunk.expected() for chunk in self._chunks()]
        return self._similarity.mean[self._item_idx] + np.concatenate([np.empty(0), *total])

    def after_all_events(self, candidates: Ints) -> Floats:
        """Return the outcome to expect of some films after all events.

        Args:
            candidates: Film rows, shape ``(m,)``.

        Returns:
            Shape ``(m,)``.
        """
        total = self._similarity.mean[candidates]
        if not len(self._item_idx):
            return total
        start, root, _ = self._newest
        items = self._item_idx[start:]
        weights = cho_solve((root, True), self._above[start:])
        total = total + self._similarity.weighted_covariance(
            self._hyperparameters, candidates, items, weights
        )
        return total + self._near(np.arange(len(items), 0, -1)) @ weights

    def negative_log_likelihood(self) -> float:
        """Return the negative logarithm of how likely the outcomes are, all together."""
        return sum(chunk.negative_log_likelihood() for chunk in self._chunks())

    def _chunks(self) -> Iterator[_Chunk]:
        """Yield stretches of events, each with what is looked at for them."""
        count, first = len(self._item_idx), 0
        while first < count:
            start, end = _context_start(first), min(count, _context_start(first) + 2 * STRIDE)
            newest = end == count and start == self._newest[0]
            root, innovations = self._newest[1:] if newest else self._factored(start, end)
            yield _Chunk(first - start, root, innovations)
            first = end

    @cached_property
    def _newest(self) -> tuple[int, Floats, Floats]:
        """The first event that is looked at for one to come, and the factors from there on."""
        start = _context_start(len(self._item_idx))
        return start, *self._factored(start, len(self._item_idx))

    def _factored(self, start: int, end: int) -> tuple[Floats, Floats]:
        hyperparameters, items = self._hyperparameters, self._item_idx[start:end]
        covariance = self._similarity.covariance(hyperparameters, items)
        covariance += toeplitz(self._near(np.arange(len(items))))
        place = np.arange(len(items))
        covariance[place, place] += (
            hyperparameters.noise
            + hyperparameters.item_mean_variance * self._similarity.inverse_count[items]
        )
        root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        return root, solve_triangular(root, self._above[start:end], lower=True)

    def _near(self, events: Ints) -> Floats:
        """Return the covariance of events so many events apart."""
        hyperparameters = self._hyperparameters
        mood = hyperparameters.long_term * np.exp(-events / hyperparameters.long_term_length)
        return mood + hyperparameters.short_term * np.exp(
            -events / hyperparameters.short_term_length
        )


def _context_start(place: int) -> int:
    """Return the first event that is looked at for the one at a place of a timeline."""
    return max(0, place // STRIDE - 1) * STRIDE
