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

from reeltune.evidence.likeness import Likeness, Likenesses
from reeltune.evidence.weights import WEIGHTS, Weights

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STRIDE: Final = 2048
"""Of long timelines, at least so many of the newest events are looked at and fewer than twice as
many: what an event costs grows with the square of their number."""


class Expectation:
    """What to expect, from training ratings and from the user's own earlier events.

    Args:
        likenesses: Which films are alike, for each part of the users.

    Attributes:
        weights: How much each part of the process weighs.
    """

    def __init__(self, likenesses: Likenesses) -> None:
        self.weights = WEIGHTS
        self._likenesses = likenesses

    def given(self, part: int, item_idx: Ints, outcomes: Floats) -> Given:
        """Return what one user's events tell.

        Args:
            part: The part of the users that is not asked; ``FOLDS`` for none.
            item_idx: The user's films in order, shape ``(n,)``.
            outcomes: What came of them, shape ``(n,)``.
        """
        return Given(self._likenesses.of_part(part), self.weights, item_idx, outcomes)

    def reweighted(self, weights: Weights) -> Expectation:
        """Return the same with other weights; what it is made of is shared."""
        other = copy(self)
        other.weights = weights
        return other


@dataclass(frozen=True)
class _Stretch:
    """Events that are asked about, after events that are only looked at.

    The outcomes ``y`` above their films' means have a covariance ``L L'``, and ``y = L z`` where
    the entries of ``z`` are independent and have the variance 1: ``z[i]`` is what event ``i`` tells
    that no earlier one did.

    Attributes:
        first: The first event that is asked about; those before it are only looked at.
        root: The lower Cholesky factor ``L``, shape ``(k, k)``.
        news: ``z``, shape ``(k,)``.
    """

    first: int
    root: Floats
    news: Floats

    def expected(self) -> Floats:
        """Return what to expect of each event asked about, given all before it.

        ``y[i]`` is the sum over ``j <= i`` of ``L[i, j] z[j]``. Earlier events have told all of
        ``z`` but its own entry, whose mean is 0: the lower triangle without its diagonal is left.
        """
        return (np.tril(self.root, -1) @ self.news)[self.first :]

    def surprise(self) -> float:
        """Return the negative logarithm of how likely the outcomes asked about are.

        Given all before it, ``y[i]`` is normal with the standard deviation ``L[i, i]`` and lies
        ``z[i]`` of them from its mean.
        """
        news, spread = self.news[self.first :], np.diag(self.root)[self.first :]
        return float((news**2).sum() / 2 + np.log(spread).sum() + len(news) * np.log(2 * np.pi) / 2)


class Given:
    """One user's events, and what follows from them.

    Args:
        likeness: Which films are alike, to those who are asked.
        weights: How much each part of the process weighs.
        item_idx: The user's films in order, shape ``(n,)``.
        outcomes: What came of them, shape ``(n,)``.
    """

    def __init__(
        self, likeness: Likeness, weights: Weights, item_idx: Ints, outcomes: Floats
    ) -> None:
        self._likeness, self._weights = likeness, weights
        self._item_idx = item_idx
        self._above = outcomes - likeness.mean[item_idx]

    def before_each(self) -> Floats:
        """Return the outcome to expect of each event, from earlier ones; shape ``(n,)``."""
        found = [stretch.expected() for stretch in self._stretches()]
        return self._likeness.mean[self._item_idx] + np.concatenate([np.empty(0), *found])

    def after_all(self, candidates: Ints) -> Floats:
        """Return the outcome to expect of some films after all events.

        Args:
            candidates: Film rows, shape ``(m,)``.

        Returns:
            Shape ``(m,)``.
        """
        found = self._likeness.mean[candidates]
        if not len(self._item_idx):
            return found
        start, root, _ = self._newest
        items = self._item_idx[start:]
        pull = cho_solve((root, True), self._above[start:])
        found = found + self._likeness.pulled(self._weights, candidates, items, pull)
        return found + self._near(np.arange(len(items), 0, -1)) @ pull

    def surprise(self) -> float:
        """Return the negative logarithm of how likely the outcomes are, all together."""
        return sum(stretch.surprise() for stretch in self._stretches())

    def _stretches(self) -> Iterator[_Stretch]:
        """Yield stretches of events, each with what is looked at for them."""
        count, first = len(self._item_idx), 0
        while first < count:
            start, end = _looked_at(first), min(count, _looked_at(first) + 2 * STRIDE)
            newest = end == count and start == self._newest[0]
            root, news = self._newest[1:] if newest else self._factored(start, end)
            yield _Stretch(first - start, root, news)
            first = end

    @cached_property
    def _newest(self) -> tuple[int, Floats, Floats]:
        """The first event that is looked at for one to come, and the factors from there on."""
        start = _looked_at(len(self._item_idx))
        return start, *self._factored(start, len(self._item_idx))

    def _factored(self, start: int, end: int) -> tuple[Floats, Floats]:
        weights, items = self._weights, self._item_idx[start:end]
        covariance = self._likeness.covariance(weights, items)
        covariance += toeplitz(self._near(np.arange(len(items))))
        place = np.arange(len(items))
        covariance[place, place] += weights.noise + weights.doubt * self._likeness.doubt[items]
        root = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        return root, solve_triangular(root, self._above[start:end], lower=True)

    def _near(self, events: Ints) -> Floats:
        """Return the covariance of events so many events apart."""
        weights = self._weights
        mood = weights.mood * np.exp(-events / weights.mood_length)
        return mood + weights.moment * np.exp(-events / weights.moment_length)


def _looked_at(place: int) -> int:
    """Return the first event that is looked at for the one at a place of a timeline."""
    return max(0, place // STRIDE - 1) * STRIDE
