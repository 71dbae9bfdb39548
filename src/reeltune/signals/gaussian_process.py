"""A Gaussian process along each user's timeline.

The deviation of an event's target from its item's mean is a sum of terms, each with its own
covariance between two events: nearness in the timeline, items that other users rate alike, items
rated by the same users, shared genres, near years, similar popularity and mean. The expected target
of an event is the posterior mean given the user's earlier events: Rasmussen and Williams (2006),
chapter 2, https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
from scipy.linalg import cho_solve, solve_triangular, toeplitz

from reeltune.blas import one_blas_thread
from reeltune.data.timelines import Ints
from reeltune.domain import GPHyperparameters
from reeltune.signals.item_similarity import ItemSimilarity
from reeltune.signals.running_statistics import Floats

STRIDE: Final = 2048
"""In long timelines each event is conditioned on at least this many earlier events and fewer than
twice as many: the cost of an event grows with the square of their number."""

Chunk = tuple[int, int, int]
"""Events predicted together, with what they are conditioned on: the first event conditioned on, the
first one predicted and the end of both."""


class Posterior:
    """The process given one user's events.

    Args:
        similarity: Of items, from training ratings without the user's fold.
        hyperparameters: Of the process.
        item_idx: The user's items, oldest first, shape ``(n,)``.
        targets: Their targets, shape ``(n,)``.
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
        self._residuals = targets - similarity.mean[item_idx]

    @one_blas_thread()
    def before_each_event(self) -> Floats:
        """Return the expected target of each event given earlier ones, shape ``(n,)``."""
        expected = self._similarity.mean[self._item_idx]
        for start, first, end in chunks(0, len(expected)):
            newest = end == len(expected) and start == self._newest[0]
            root, innovations = self._newest[1:] if newest else self._factored(start, end)
            # Given the earlier events, all z[j] in y[i] are known except z[i], whose mean is 0.
            expected[first:end] += (np.tril(root, -1) @ innovations)[first - start :]
        return expected

    @one_blas_thread()
    def after_all_events(self, candidates: Ints) -> Floats:
        """Return the expected targets of items given all events, shape ``(m,)``."""
        expected = self._similarity.mean[candidates]
        if not len(self._item_idx):
            return expected
        start, root, _ = self._newest
        items = self._item_idx[start:]
        weights = cho_solve((root, True), self._residuals[start:])
        expected = expected + self._similarity.weighted_covariance(
            self._hyperparameters, candidates, items, weights
        )
        return (
            expected
            + timeline_covariance(self._hyperparameters, np.arange(len(items), 0, -1)) @ weights
        )

    @cached_property
    def _newest(self) -> tuple[int, Floats, Floats]:
        """First event that a further event is conditioned on, and the factors from there on."""
        start = _context_start(len(self._item_idx))
        return start, *self._factored(start, len(self._item_idx))

    def _factored(self, start: int, end: int) -> tuple[Floats, Floats]:
        """Return ``L``, shape ``(k, k)``, and ``z`` of events from ``start`` to ``end - 1``.

        Their residuals ``y`` from the items' means have the covariance ``L L'``, and ``y = L z``
        with independent ``z`` of variance 1.
        """
        hyperparameters, items = self._hyperparameters, self._item_idx[start:end]
        covariance = self._similarity.covariance(hyperparameters, items)
        covariance += toeplitz(timeline_covariance(hyperparameters, np.arange(len(items))))
        diagonal = np.arange(len(items))
        covariance[diagonal, diagonal] += (
            hyperparameters.noise
            + hyperparameters.item_mean_variance * self._similarity.inverse_count[items]
        )
        root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        return root, solve_triangular(root, self._residuals[start:end], lower=True)


def timeline_covariance(hyperparameters: GPHyperparameters, events: Ints) -> Floats:
    """Return the covariance of events by their distance in the timeline alone."""
    long_term = hyperparameters.long_term * np.exp(-events / hyperparameters.long_term_length)
    return long_term + hyperparameters.short_term * np.exp(
        -events / hyperparameters.short_term_length
    )


def chunks(begin: int, end: int) -> Iterator[Chunk]:
    """Yield the chunks of a timeline from event ``begin`` to ``end - 1``, oldest first."""
    first = begin
    while first < end:
        start = begin + _context_start(first - begin)
        last = min(end, start + 2 * STRIDE)
        yield start, first, last
        first = last


def _context_start(position: int) -> int:
    """Return the first event that the event at a position is conditioned on."""
    return max(0, position // STRIDE - 1) * STRIDE
