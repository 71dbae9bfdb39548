"""Expected targets of all events of many users: covariances from one table, in threads.

The values are those of :meth:`Posterior.before_each_event` up to rounding, at a fraction of its
cost. Neither the other timelines of a batch nor the number of threads changes a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import groupby
from math import isqrt
from typing import Final

import numpy as np
from scipy.linalg import toeplitz
from scipy.sparse import csr_array

from reeltune.blas import blas_threads, one_blas_thread
from reeltune.data.timelines import Bools, Ints, Timelines
from reeltune.domain import GPHyperparameters
from reeltune.signals.gaussian_process import Chunk, chunks, timeline_covariance
from reeltune.signals.item_similarity import ItemSimilarity, year_covariance
from reeltune.signals.running_statistics import Floats
from reeltune.signals.target import gp_target

MAX_ITEMS: Final = 11_000
"""Most items in the table, which then has 0.9 GiB."""

_CELLS: Final = 2**20
"""Cells of the covariances of a batch, unless a single one has more. A thread needs 40 MB for them,
and up to 0.5 GiB for the longest timelines."""


class TimelineBatches:
    """The process along timelines of users of one fold.

    Args:
        similarity: Of items, without the users' fold.
        hyperparameters: Of the process.
        known: All events.
    """

    def __init__(
        self, similarity: ItemSimilarity, hyperparameters: GPHyperparameters, known: Timelines
    ) -> None:
        self._similarity, self._hyperparameters, self._known = similarity, hyperparameters, known
        weighted = {
            name: features * np.sqrt(getattr(hyperparameters, name))
            for name, features in similarity.features.items()
        }
        who, residual = weighted.pop("co_occurrence"), weighted.pop("rating_similarity")
        # The product with a conjugate has the sum of both products as its real part.
        both = residual.data + 1j * who.data
        self._ratings = csr_array((both, who.indices, who.indptr), who.shape)
        self._dense = np.hstack([features.toarray() for features in weighted.values()])
        years, self._year = np.unique(similarity.years, return_inverse=True)
        self._years = year_covariance(hyperparameters, years, years)

    def expected(self, timelines: Ints) -> Iterator[tuple[slice, Floats]]:
        """Yield events and their expected targets until all timelines are done.

        Their first events and ends have shape ``(users, 2)``.
        """
        threads = blas_threads()  # BLAS then uses one in each
        every = [chunk for first, end in timelines.tolist() for chunk in chunks(first, end)]
        batches: list[tuple[int, list[Chunk]]] = []
        # The longest first, so that the threads end at about the same time.
        for width, same in groupby(sorted(every, key=_width, reverse=True), _width):
            alike, size = list(same), max(1, _CELLS // max(width**2, 2**13))
            batches += [(width, alike[at : at + size]) for at in range(0, len(alike), size)]
        with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
            try:
                self._fill_table(sum((end - start) ** 2 for start, _, end in every), pool)
                results = pool.map(self._expected, batches)
                for (_, batch), expected in zip(batches, results, strict=True):
                    for (start, first, end), values in zip(batch, expected, strict=True):
                        yield slice(first, end), values[first - start : end - start]
            finally:  # also if it is interrupted where the values are used
                pool.shutdown(cancel_futures=True)

    def _fill_table(self, pairs: int, pool: Executor) -> None:
        """Compute the covariances of popular items by ratings, and each item's index in them.

        The last row and column are zeros, for all other items. If all items have more pairs than
        the timelines, the table has a quarter of these, so that it takes less time than it saves.
        """
        count = len(self._similarity.mean)
        size = min(count if count**2 <= pairs else isqrt(pairs) // 2, MAX_ITEMS)
        popular = np.argsort(self._similarity.inverse_count, kind="stable")[:size]
        self._index = np.full(count, size)
        self._index[popular] = np.arange(size)
        self._table, ratings = np.zeros((size + 1, size + 1)), self._ratings[popular]
        columns = ratings.conj().T.tocsr()

        def fill(first: int) -> None:
            rows = slice(first, min(first + 256, size))
            self._table[rows, :size] = (ratings[rows] @ columns).real.toarray()

        list(pool.map(fill, range(0, size, 256)))

    def _expected(self, batch: tuple[int, list[Chunk]]) -> Floats:
        """Return the expected targets of chunks padded to a width, shape ``(chunks, width)``."""
        width, same = batch
        known = np.arange(width) < np.array([[end - start] for start, _, end in same])
        events = np.concatenate([np.arange(start, end) for start, _, end in same])
        items, residuals = np.zeros(known.shape, dtype=np.int64), np.zeros(known.shape)
        items[known] = self._known.item_idx[events]
        mean = self._similarity.mean[items]
        targets = gp_target(self._known.rating[events], self._known.liked[events])
        residuals[known] = targets - mean[known]
        hyperparameters, diagonal = self._hyperparameters, np.arange(width)

        index = np.where(known, self._index[items], len(self._table) - 1)
        covariance = self._table[index[:, :, None], index[:, None, :]]
        self._add_rare_items(covariance, items, known)
        dense, year = self._dense[items], self._year[items]
        covariance += dense @ dense.transpose(0, 2, 1)
        covariance += self._years[year[:, :, None], year[:, None, :]]
        covariance += toeplitz(timeline_covariance(hyperparameters, diagonal))
        covariance[~known] = 0  # the lower triangle is what counts
        variance = hyperparameters.item_mean_variance * self._similarity.inverse_count[items]
        covariance[:, diagonal, diagonal] += np.where(known, hyperparameters.noise + variance, 1)
        # With residuals y = L z as the last row below the covariance, z is the last row of the
        # root; y' covariance^-1 y is less than y'y / noise, so that the whole is positive definite.
        covariance[:, -1] = residuals
        covariance[:, -1, -1] = 1 + (residuals**2).sum(1) / hyperparameters.noise
        root = np.linalg.cholesky(covariance)
        innovations = root[:, -1, :, None].copy()
        root[:, diagonal, diagonal] = 0  # given the earlier events, the mean of z[i] is 0
        return mean + (root @ innovations)[..., 0]

    def _add_rare_items(self, covariance: Floats, items: Ints, known: Bools) -> None:
        """Set the covariances by ratings of items outside the table, in the lower triangle."""
        chunk, event = np.nonzero(known)
        rare = np.flatnonzero(self._index[items[known]] == len(self._table) - 1)
        if not len(rare):
            return
        ratings = self._ratings[items[known]]
        # Each chunk has columns of its own: only items of the same chunk have any in common.
        offset = (chunk * ratings.shape[1]).astype(ratings.indices.dtype)
        columns = ratings.indices + np.repeat(offset, np.diff(ratings.indptr))
        shape = (len(chunk), len(items) * ratings.shape[1])
        ratings = csr_array((ratings.data, columns, ratings.indptr), shape)
        products = (ratings @ ratings[rare].conj().T).tocoo()
        one, other = products.coords[0], rare[products.coords[1]]
        later, earlier = np.maximum(event[one], event[other]), np.minimum(event[one], event[other])
        covariance[chunk[one], later, earlier] = products.data.real


def _width(chunk: Chunk) -> int:
    """Return the width of a chunk's covariance, a multiple of 16, with a row for its residuals."""
    return ((chunk[2] - chunk[0]) // 16 + 1) * 16
