"""Candidates: which of the eligible items are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from reeltune.recommend.catalogue import Catalogue

Ints = npt.NDArray[np.int64]

DEFAULT_CANDIDATES: Final = 100
"""Number of candidates scored by default without a CUDA device.

A model of 135 million parameters scores 10 to 20 candidates a second on two cores.
"""

ALL: Final = "all"
CandidateCount = int | Literal["all"]


@dataclass(frozen=True)
class CandidateLimit:
    """How many candidates are scored, and why; the reason is logged."""

    count: CandidateCount
    reason: str


def default_limit(device_type: str) -> CandidateLimit:
    """Return the limit for a request that sets none, by the type of the model's device."""
    if device_type == "cuda":
        return CandidateLimit(ALL, "a CUDA device scores thousands in seconds")
    return CandidateLimit(DEFAULT_CANDIDATES, "default without a CUDA device")


@dataclass(frozen=True)
class ItemPool:
    """Items that match filters.

    Attributes:
        items: Their indices, most rated first; ties in catalogue order.
        size: Number of items in the catalogue.
    """

    items: Ints
    size: int

    @classmethod
    def most_rated_first(cls, catalogue: Catalogue, items: Ints) -> ItemPool:
        """Order items, given ascending."""
        order = np.argsort(-catalogue.ratings[items], kind="stable")
        return cls(items[order], len(catalogue.items))

    def without(self, rated: Ints) -> Ints:
        """Return the items that are not among ``rated``, most rated first."""
        keep = np.ones(self.size, dtype=np.bool_)
        keep[rated] = False
        return self.items[keep[self.items]]


def most_rated(eligible: Ints, count: CandidateCount) -> Ints:
    """Return the first ``count`` of the eligible items, ascending by index."""
    return np.sort(eligible if count == ALL else eligible[:count])
