"""Predictions: the logits of Yes and No, and P(Yes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.models.calibration import Calibrate


@dataclass(frozen=True)
class Predictions:
    """The logits of both answers, one entry per prompt; of a fusion, its log-odds and 0.

    ``calibrate`` maps P(Yes) of the model to calibrated P(Yes); None leaves it unchanged.
    """

    yes_logit: npt.NDArray[np.float32]
    no_logit: npt.NDArray[np.float32]
    calibrate: Calibrate | None = None

    def __len__(self) -> int:
        return len(self.yes_logit)

    @classmethod
    def none(cls) -> Predictions:
        """Return no predictions."""
        return cls(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))

    def __getitem__(self, index: slice | npt.NDArray[np.integer]) -> Predictions:
        """Return some of the predictions, in the order of the index."""
        return Predictions(self.yes_logit[index], self.no_logit[index], self.calibrate)

    @classmethod
    def concatenate(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return the predictions of at least one part, all by the same model."""
        yes = np.concatenate([part.yes_logit for part in parts])
        no = np.concatenate([part.no_logit for part in parts])
        return cls(yes, no, parts[0].calibrate)

    @property
    def log_odds(self) -> npt.NDArray[np.float64]:
        """The logarithm of P(Yes) over P(No), before calibration."""
        return self.yes_logit.astype(np.float64) - self.no_logit.astype(np.float64)

    @property
    def p_yes(self) -> npt.NDArray[np.float64]:
        """P(Yes): the softmax of the two logits, calibrated."""
        p_yes = np.exp(-np.logaddexp(0.0, -self.log_odds))
        return p_yes if self.calibrate is None else self.calibrate(p_yes)
