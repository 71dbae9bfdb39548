"""The strongest scorer is chosen on validation rows, by AUC and not by log loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reeltune.evaluation.collect import CollectedPredictions, ScorerInfo, strongest
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.predictions import PredictionTable

LIKED = np.array([True, False, True, False, True, False])
USER = np.array([1, 1, 1, 2, 2, 2])
P_YES = {
    # In perfect order, far from calibrated.
    "ordered": np.array([0.999, 0.99, 0.998, 0.98, 0.997, 0.97]),
    # One pair of one user in the wrong order, well calibrated.
    "calibrated": np.array([0.9, 0.1, 0.9, 0.1, 0.4, 0.45]),
    # In perfect order within each user only.
    "personal": np.array([0.3, 0.1, 0.2, 0.5, 0.6, 0.4]),
}


def rows(split: str) -> PredictionTable:
    event = np.arange(len(LIKED))
    empty = PredictionTable(split, event, USER, event, event, event, LIKED, {})
    return replace(empty, p_yes=P_YES)


def test_the_strongest_has_the_highest_value_of_the_metric():
    metrics = {name: measure(LIKED, p_yes, USER) for name, p_yes in P_YES.items()}
    losses = {name: own.log_loss or 0.0 for name, own in metrics.items()}
    assert min(losses, key=lambda name: losses[name]) == "calibrated"
    assert strongest(rows("validation"), P_YES, "auc") == "ordered"
    within = ["calibrated", "personal"]
    assert strongest(rows("validation"), within, "auc") == "calibrated"
    assert strongest(rows("validation"), within, "auc_per_user_mean") == "personal"


def test_the_strongest_of_a_kind_is_chosen_on_validation_rows():
    collected = CollectedPredictions(
        replace(rows("validation"), p_yes={}), replace(rows("test"), p_yes={})
    )
    kinds = {"ordered": "tuned", "calibrated": "baseline", "personal": "baseline"}
    for name, kind in kinds.items():
        # On the reported rows the order of the two baselines is the other way round.
        collected.add(name, ScorerInfo(kind), P_YES[name], 1 - P_YES[name])  # pyright: ignore[reportArgumentType]
    assert collected.strongest("auc", "baseline") == "calibrated"
    assert collected.strongest("auc", "signals") is None


@pytest.mark.parametrize("label", [True, False])
def test_rows_of_one_label_have_no_strongest(label: bool):
    one_label = replace(rows("validation"), liked=np.full(len(LIKED), label))
    assert strongest(one_label, P_YES, "auc") is None
