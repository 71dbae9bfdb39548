"""Names of array types, and ragged arrays: rows of different lengths in one flat array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = Bools


@dataclass(frozen=True)
class Ragged:
    """``n`` rows: row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.

    Attributes:
        values: Shape ``(total,)``, int32.
        offsets: Shape ``(n + 1,)``, int64, from 0 to ``total``.
    """

    values: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int] | npt.NDArray[Any]]) -> Ragged:
        """Build from a sequence of rows."""
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        arrays = [np.asarray(row, dtype=np.int32) for row in rows]
        return cls(np.concatenate(arrays) if arrays else np.empty(0, np.int32), offsets_of(lengths))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Lengths of the rows, shape ``(n,)``."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> npt.NDArray[np.int32]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[npt.NDArray[np.int32]]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: npt.NDArray[np.integer]) -> Ragged:
        """Return the rows at the given indices, in that order; an index may repeat."""
        return self.spans(rows, np.asarray(rows) + 1)

    def spans(self, first: npt.NDArray[np.integer], last: npt.NDArray[np.integer]) -> Ragged:
        """Return, for each pair, rows ``first`` to ``last - 1`` concatenated to one row."""
        begin, end = self.offsets[first], self.offsets[last]
        offsets = offsets_of(end - begin)
        values = np.empty(offsets[-1], dtype=np.int32)
        for rows in _chunks(offsets):
            values[offsets[rows.start] : offsets[rows.stop]] = self.values[
                places(begin[rows], end[rows] - begin[rows])
            ]
        return Ragged(values, offsets)


_CHUNK_VALUES: Final = 1 << 18
"""Values moved at once: each needs 16 bytes of indices, which should fit in the CPU cache."""


def _chunks(offsets: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of consecutive rows that hold about :data:`_CHUNK_VALUES` values."""
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1], _CHUNK_VALUES))
    cuts = np.unique(np.append(cuts, len(offsets) - 1)).tolist()
    return (slice(a, b) for a, b in pairwise(cuts))


def places(begin: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the indices ``begin[i]``, ``begin[i] + 1``, ... of all rows in one array.

    >>> places(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    offsets = offsets_of(lengths)
    indices = np.repeat(begin - offsets[:-1], lengths)
    indices += np.arange(len(indices))
    return indices


def offsets_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the running total of lengths, from 0: shape ``(n + 1,)``.

    >>> offsets_of(np.array([2, 3])).tolist()
    [0, 2, 5]
    """
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def repeat_row(row: npt.NDArray[np.int32], times: int) -> Ragged:
    """Return a ragged array of ``times`` equal rows."""
    return Ragged(np.tile(row, times), np.arange(times + 1, dtype=np.int64) * len(row))


def join(*parts: Ragged) -> Ragged:
    """Concatenate row ``i`` of every part to row ``i``; all parts have the same number of rows."""
    lengths = [part.lengths for part in parts]
    offsets = offsets_of(np.sum(lengths, axis=0))
    values = np.empty(offsets[-1], dtype=np.int32)
    for rows in _chunks(offsets):
        begin = offsets[rows].copy()
        for part, sizes in zip(parts, lengths, strict=True):
            moved = slice(part.offsets[rows.start], part.offsets[rows.stop])
            values[places(begin, sizes[rows])] = part.values[moved]
            begin += sizes[rows]
    return Ragged(values, offsets)


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Return the rows of all parts, one part after another."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.values for part in parts]), offsets_of(lengths))


def auc_per_user(
    labels: npt.NDArray[np.bool_], score: npt.NDArray[np.float64], user: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the AUC of each user's rows, shape ``(users,)``; NaN for one label."""
    # Ranks within users: shift every user's scores apart by more than their range, rank once.
    # Ranking first keeps ties exact, which adding an offset to the scores themselves would not.
    order = np.unique(score, return_inverse=True)[1]
    shifted = user * (order.max(initial=0) + 1) + order
    _, place, ties = np.unique(shifted, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]
    sizes = np.bincount(user)
    rank -= (np.cumsum(sizes) - sizes)[user]
    likes, rank_sum = np.bincount(user, labels), np.bincount(user, rank * labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rank_sum - likes * (likes + 1) / 2) / (likes * (sizes - likes))
