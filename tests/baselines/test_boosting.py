"""Kept gradient boosting is the baseline of the same input, for events and for queries."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.baselines.boosting import BoostingModel
from reeltune.baselines.score import score_baselines, signal_baselines, text_baselines
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.domain import SIGNALS
from reeltune.errors import ModelError
from reeltune.signals.folder import with_signals
from tests.errors import raises_error

NAMES = ("item", "recent")
KINDS = tuple(SIGNALS[name] for name in NAMES)


@pytest.fixture(scope="module")
def folder(prepared: PreparedFolder) -> PreparedFolder:
    folder = with_signals(prepared, NAMES)
    words = ["war", "love", "war and love", ""]
    texts = [item._replace(text=(words[row % 4],)) for row, item in enumerate(prepared.items)]
    vars(folder)["items"] = texts
    return folder


def fitted(folder: PreparedFolder, item_text: bool, kinds: Any = KINDS) -> BoostingModel:
    return BoostingModel.fit(folder, kinds, rows(folder, VALIDATION), 5, item_text)


@pytest.fixture(scope="module")
def model(folder: PreparedFolder) -> BoostingModel:
    return fitted(folder, item_text=True)


def rows(folder: PreparedFolder, split: str) -> np.ndarray:
    return np.flatnonzero(folder.timelines.split == split)


@pytest.mark.slow
@pytest.mark.parametrize("item_text", [False, True])
def test_its_predictions_are_those_of_the_baseline(folder: PreparedFolder, item_text: bool):
    baselines = text_baselines(KINDS) if item_text else signal_baselines(KINDS)
    name = next(name for name in baselines if "boosting" in name)
    validation, test = rows(folder, VALIDATION), rows(folder, TEST)
    scores = score_baselines(folder, validation, test, seed=5, baselines=baselines)[name]
    kept = fitted(folder, item_text)
    assert scores.settings.items() <= kept.settings.items()
    assert kept.settings["signals"] == list(NAMES)
    for event, p_yes in ((validation, scores.validation), (test, scores.test)):
        assert 1 / (1 + np.exp(-kept.of_events(folder, event))) == pytest.approx(p_yes, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_a_query_has_the_log_odds_of_its_event(
    folder: PreparedFolder, model: BoostingModel, split: str
):
    known, features = folder.timelines, model.features_of(folder)
    events = rows(folder, split)[::7]
    whole = model.of_events(folder, events)
    assert len(np.unique(whole)) > len(events) / 2
    for event, expected in zip(events.tolist(), whole.tolist(), strict=True):
        first = event - int(known.position[event])
        history = History.from_timelines(known, range(first, event))
        candidates = np.array([known.item_idx[event], 0], dtype=np.int64)
        asked_at = np.full(2, known.timestamp[event])
        _, codes = folder.context.of_query(replace(history, context=None), candidates, 1)
        assert model.of_query(features, history, candidates, codes, asked_at)[0] == expected


@pytest.mark.slow
def test_a_file_without_pickle_keeps_it(
    folder: PreparedFolder, model: BoostingModel, tmp_path: Path
):
    file = io.BytesIO()
    np.savez_compressed(file, **dict[str, Any](model.to_arrays()))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = BoostingModel.from_arrays(arrays)
    events = rows(folder, TEST)
    assert again.settings == model.settings
    assert np.array_equal(again.of_events(folder, events), model.of_events(folder, events))
    with raises_error(ModelError, "boosting_does_not_fit"):
        replace(model, texts=[]).of_events(folder, events)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"settings": "[]"}, {"settings": "{"}, {"settings": None}, {"idf_0": None}]
)
def test_damaged_arrays_are_refused(model: BoostingModel, change: dict[str, Any]):
    arrays = model.to_arrays() | {name: np.array(value) for name, value in change.items()}
    arrays = {name: values for name, values in arrays.items() if values.dtype != object}
    with raises_error(ModelError, "boosting_damaged", where="boosting.npz"):
        BoostingModel.from_arrays(arrays, "boosting.npz")


@pytest.mark.slow
def test_an_earlier_name_of_a_signal_is_translated_and_an_unknown_one_refused(model: BoostingModel):
    def kept(*names: str) -> BoostingModel:
        settings = np.array(json.dumps(model.settings | {"signals": names}))
        return BoostingModel.from_arrays(model.to_arrays() | {"settings": settings})

    assert kept("film", "recent").settings == model.settings
    with raises_error(ModelError, "boosting_damaged", figures=["actor"]):
        kept("actor", "recent")


@pytest.mark.slow
def test_without_signals_and_text_no_codes_are_needed(prepared: PreparedFolder):
    model = fitted(prepared, item_text=False, kinds=())
    history = History.of([1, 2], [4.0, 2.0])
    found = model.of_query(model.features_of(prepared), history, np.array([3, 4, 5]), None)
    assert found.shape == (3,)
    assert np.isfinite(found).all()
