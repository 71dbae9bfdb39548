"""Distributions of lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from reeltune.errors import ConfigError

_MAX_BINS = 12


@dataclass(frozen=True)
class LengthReport:
    """The distribution of the lengths of prompts or sequences.

    Attributes:
        unit: ``tokens``, the answer included, or ``characters`` of the messages.
        percentiles: Percentile and the smallest length that this share does not exceed.
        histogram: Counts per bin, shape ``(bins,)``.
        edges: The first length of each bin, then the first beyond the last, shape ``(bins + 1,)``.
            Bins are equally wide; the last may reach beyond the longest.
        limit: The maximum length, if any.
        exceeding: The number of longer ones.
    """

    unit: str
    count: int
    minimum: int
    maximum: int
    mean: float
    percentiles: tuple[tuple[float, int], ...]
    histogram: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    limit: int | None
    exceeding: int


def describe_lengths(
    lengths: npt.NDArray[np.int64],
    percentiles: Sequence[float],
    unit: str,
    limit: int | None = None,
) -> LengthReport:
    """Return the distribution of lengths.

    Args:
        lengths: Shape ``(n,)``, at least one.
        percentiles: Each from 0 to 100.
        unit: The unit of the lengths.
        limit: The maximum length.
    """
    ordered = np.sort(lengths)
    # Exact fractions: numpy's inverted_cdf computes 0.07 * 100 > 7 and takes the eighth.
    ranks = [math.ceil(Fraction(str(p)) * len(lengths) / 100) for p in percentiles]
    at = [int(ordered[max(rank, 1) - 1]) for rank in ranks]
    edges = _bins(int(ordered[0]), int(ordered[-1]))
    histogram = np.diff(np.searchsorted(ordered, edges))
    return LengthReport(
        unit=unit,
        count=len(lengths),
        minimum=int(lengths.min()),
        maximum=int(lengths.max()),
        mean=float(lengths.mean()),
        percentiles=tuple(zip(percentiles, at, strict=True)),
        histogram=histogram,
        edges=edges,
        limit=limit,
        exceeding=int((lengths > limit).sum()) if limit is not None else 0,
    )


def _bins(minimum: int, maximum: int) -> npt.NDArray[np.int64]:
    """Return the edges of bins of whole lengths."""
    width = math.ceil((maximum - minimum + 1) / _MAX_BINS)
    return np.arange(minimum, maximum + width + 1, width)


def parse_percentiles(text: str) -> tuple[float, ...]:
    """Read a list such as ``50,90,99.5``.

    Raises:
        ConfigError: Something in it is not a number from 0 to 100.
    """
    values = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 100:
            raise ConfigError(
                f"{part.strip()!r} is not a percentile",
                code="bad_percentile",
                where="--percentiles",
                hint="Give numbers from 0 to 100, separated by commas",
            )
        values.append(value)
    return tuple(values)
