"""What the prompt tells, without any model: how much of a result is the evidence's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TRAIN
from reeltune.data.folder import Timelines
from reeltune.prompts.renderer import SHARE_STEPS, Evidence

EVIDENCE_ALONE: Final = "evidence alone"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def score_evidence_alone(
    known: Timelines, kinds: Sequence[Evidence], rows: Sequence[Ints]
) -> list[Floats] | None:
    """Return P(Yes) of a logistic regression on just what the prompt tells of each film.

    Args:
        known: All events, with their evidence; the regression learns from all training rows.
        kinds: What the evidence tells.
        rows: The candidates of several splits, as places among the events, shape ``(n,)`` each.

    Returns:
        Of each split, shape ``(n,)``; None where no evidence is told, or where all training rows
        have one label.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = known.split == TRAIN
    if known.evidence is None or len(np.unique(known.liked[train])) < 2:
        return None
    columns = [
        column
        for place, kind in enumerate(kinds)
        for column in numbers_of(kind, known.evidence[:, place])
    ]
    table = np.column_stack(columns).astype(np.float64)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(table[train], known.liked[train])
    return [model.predict_proba(table[events])[:, 1] for events in rows]


def numbers_of(kind: Evidence, codes: npt.NDArray[np.integer]) -> list[npt.NDArray[Any]]:
    """Return what entries of one kind of evidence say, as numbers."""
    if kind in ("film", "user"):
        return [codes % SHARE_STEPS, codes // SHARE_STEPS]
    return [codes]
