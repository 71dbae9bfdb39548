"""Expected targets of all events of many users: covariances from one table, in threads.

The values are those of :meth:`Posterior.before_each_event` up to rounding, at a fraction of its
cost: the covariances of popular items are computed once for all users of a fold, and timelines of
about the same length share one call of LAPACK. A value depends neither on the other timelines of
its batch nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from math import isqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import toeplitz
from scipy.sparse import csr_array
from threadpoolctl import threadpool_info, threadpool_limits

from reeltune.signals.gaussian_process import Chunk, GaussianProcess, chunks, timeline_covariance
from reeltune.signals.item_similarity import year_covariance

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

MAX_ITEMS: Final = 11_000
"""Most items in the table, which then has 0.9 GiB."""

_TABLE_ROWS: Final = 256
"""Rows of the table computed at a time."""

_WIDTHS: Final = 16
"""Covariances are padded to a multiple of this width."""

_CELLS: Final = 2**20
"""Cells of the covariances of one batch, unless a single one has more: those of a thread take
40 MB, and up to 0.4 GiB for a timeline of 4,095 events and more."""

_CHUNKS: Final = 128
"""Most chunks in a batch: each has columns of its own for all users that similarities are from."""


@contextmanager
def worker_threads() -> Iterator[Executor]:
    """Start as many threads as numerical libraries use, which then use one each."""
    threads = max((library["num_threads"] for library in threadpool_info()), default=1)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        yield pool


class TimelineBatches:
    """The process along timelines of users of one fold.

    Args:
        process: The Gaussian process.
        fold: The fold of the users, excluded from item similarities.
        timelines: Their first events and ends, shape ``(users, 2)``.
        item_idx: The item of every event, those of other users included.
        targets: Likewise their targets.
    """

    def __init__(
        self,
        process: GaussianProcess,
        fold: int,
        timelines: Ints,
        item_idx: npt.NDArray[np.integer],
        targets: Floats,
    ) -> None:
        self._similarity = similarity = process.similarities.of_fold(fold)
        self._hyperparameters = hyperparameters = process.hyperparameters
        self._item_idx, self._targets = item_idx, targets
        self._chunks = [chunk for first, end in timelines.tolist() for chunk in chunks(first, end)]
        weighted = {
            name: features * np.sqrt(getattr(hyperparameters, name))
            for name, features in similarity.features.items()
        }
        who, residual = weighted.pop("co_occurrence"), weighted.pop("rating_similarity")
        # The product with a conjugate has the sum of both products as its real part.
        self._ratings = csr_array(
            (residual.data + 1j * who.data, who.indices, who.indptr), who.shape
        )
        self._dense = np.hstack([features.toarray() for features in weighted.values()])
        years, self._year = np.unique(similarity.years, return_inverse=True)
        self._years = year_covariance(hyperparameters, years, years)

    def expected(self, pool: Executor) -> Iterator[tuple[slice, Floats]]:
        """Yield the expected targets of all events of the timelines, chunk by chunk."""
        self._table, self._index = self._popular_items(pool)
        for batch, expected in pool.map(self._work, self._batches()):
            for (start, first, end), values in zip(batch, expected, strict=True):
                yield slice(first, end), values[first - start : end - start]

    def _popular_items(self, pool: Executor) -> tuple[Floats, Ints]:
        """Return the covariances of popular items by ratings, and each item's index in them.

        The last row and column are zeros, for all other items. All items are popular if their pairs
        are no more than those of the timelines, otherwise as many as have a quarter of those pairs,
        so that the table takes less time than it saves.
        """
        pairs = sum((end - start) ** 2 for start, _, end in self._chunks)
        count = len(self._similarity.mean)
        size = min(count if count**2 <= pairs else isqrt(pairs) // 2, MAX_ITEMS)
        popular = np.argsort(self._similarity.inverse_count, kind="stable")[:size]
        index = np.full(count, size)
        index[popular] = np.arange(size)
        table, ratings = np.zeros((size + 1, size + 1)), self._ratings[popular]
        columns = ratings.conj().T.tocsr()

        def fill(first: int) -> None:
            rows = slice(first, min(first + _TABLE_ROWS, size))
            table[rows, :size] = (ratings[rows] @ columns).real.toarray()

        list(pool.map(fill, range(0, size, _TABLE_ROWS)))
        return table, index

    def _batches(self) -> Iterator[list[Chunk]]:
        """Yield chunks of the same padded width, the longest first."""
        batch: list[Chunk] = []
        for chunk in sorted(self._chunks, key=lambda chunk: chunk[0] - chunk[2]):
            width = _width(chunk)
            if batch and (
                width != _width(batch[0]) or len(batch) >= min(_CHUNKS, _CELLS // width**2)
            ):
                yield batch
                batch = []
            batch.append(chunk)
        if batch:
            yield batch

    def _work(self, batch: list[Chunk]) -> tuple[list[Chunk], Floats]:
        """Return a batch with the expected targets of its events, shape ``(chunks, width)``."""
        counts = np.array([end - start for start, _, end in batch])
        known = np.arange(_width(batch[0])) < counts[:, None]
        events = np.concatenate([np.arange(start, end) for start, _, end in batch])
        items, residuals = np.zeros(known.shape, dtype=np.int64), np.zeros(known.shape)
        items[known] = self._item_idx[events]
        mean = self._similarity.mean[items]
        residuals[known] = self._targets[events] - mean[known]
        covariance = self._covariance(items, known)
        # With residuals y = L z as the last row below the covariance, z is the last row of the
        # root; y' covariance^-1 y is less than y'y / noise, so that the whole is positive definite.
        covariance[:, -1] = residuals
        covariance[:, -1, -1] = 1 + (residuals**2).sum(1) / self._hyperparameters.noise
        root: npt.NDArray[Any] = np.linalg.cholesky(covariance)
        innovations, diagonal = root[:, -1].copy(), np.arange(len(known[0]))
        root[:, diagonal, diagonal] = 0  # given the earlier events, the mean of z[i] is 0
        return batch, mean + (root @ innovations[..., None])[..., 0]

    def _covariance(self, items: Ints, known: Bools) -> Floats:
        """Return covariances, shape ``(chunks, width, width)``, correct in the lower triangle.

        Where an event is not known, it has variance 1 and no covariance with earlier ones.
        """
        hyperparameters, events = self._hyperparameters, np.arange(items.shape[1])
        index = np.where(known, self._index[items], len(self._table) - 1)
        covariance = self._table[index[:, :, None], index[:, None, :]]
        self._add_rare_items(covariance, items, known)
        dense, year = self._dense[items], self._year[items]
        covariance += dense @ dense.transpose(0, 2, 1)
        covariance += self._years[year[:, :, None], year[:, None, :]]
        covariance += toeplitz(timeline_covariance(hyperparameters, events))
        covariance[~known] = 0
        variance = hyperparameters.item_mean_variance * self._similarity.inverse_count[items]
        covariance[:, events, events] += np.where(known, hyperparameters.noise + variance, 1)
        return covariance

    def _add_rare_items(self, covariance: Floats, items: Ints, known: Bools) -> None:
        """Set the covariances by ratings of items outside the table."""
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
    """Return the width of the padded covariance of a chunk, with a row for its residuals."""
    start, _, end = chunk
    return ((end - start) // _WIDTHS + 1) * _WIDTHS
