"""Named random streams derived from one seed."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of a named stream; seed and name determine it on every machine."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def sample_rows(count: int, limit: int | None, seed: int, name: str) -> npt.NDArray[np.int64]:
    """Return the indices of a random sample without replacement, ascending.

    ``limit`` None, or at least ``count``, keeps all rows.
    """
    if limit is None or limit >= count:
        return np.arange(count, dtype=np.int64)
    return np.sort(stream(seed, name).choice(count, size=limit, replace=False)).astype(np.int64)
