"""``scoring.calibration`` reaches every prediction of the adapter, and none of the base model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reeltune.data.columns import VALIDATION
from reeltune.errors import ModelError
from reeltune.models.calibration import CALIBRATED, Calibration, fit_calibration, write_calibration
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.training.train import train
from tests.runs import tiny_config
from tests.scored import score_split


@pytest.fixture(scope="module")
def run(tiny_qwen3, prepared, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("calibrated")
    return train(tiny_config(tiny_qwen3, prepared.path, work, train__max_steps=2))


@pytest.fixture
def load(run, tiny_qwen3, prepared, tmp_path):
    """Load the run, or the base model, under some way of calibrating."""

    def loaded(method: str, adapter: Path | None = run, **options) -> LoadedModel:
        changes = {"scoring__calibration": method}
        config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes)
        return load_model(config, adapter, **options)

    return loaded


def p_yes(subject: LoadedModel) -> np.ndarray:
    return score_split(subject, VALIDATION).predictions.p_yes


@pytest.fixture
def calibration(run, load) -> Calibration:
    """What was learned from predictions as the model gives them, written beside the adapter."""
    scored = score_split(load("none"), VALIDATION)
    found = fit_calibration(
        scored.rows.liked, scored.predictions.p_yes, form="window", share_history=True
    )
    write_calibration(run, found)
    return found


@pytest.mark.parametrize("method", CALIBRATED)
def test_the_predictions_of_the_adapter_are_calibrated(load, calibration, method):
    given = p_yes(load("none"))
    told = p_yes(load(method))
    assert told.tolist() == calibration.apply(given, method).tolist()
    assert np.abs(told - given).max() > 1e-3


@pytest.mark.parametrize("method", CALIBRATED)
def test_the_base_model_is_asked_as_it_is(load, calibration, method):
    base = p_yes(load("none", adapter=None))
    assert p_yes(load(method, adapter=None)).tolist() == base.tolist()
    tuned = load(method)
    before = p_yes(tuned)
    with tuned.without_adapter():
        np.testing.assert_allclose(p_yes(tuned), base, rtol=0, atol=1e-6)
    assert p_yes(tuned).tolist() == before.tolist()


def test_what_is_to_be_calibrated_anew_is_told_as_the_model_gives_it(load, calibration):
    found = p_yes(load("isotonic", calibrated=False))
    assert found.tolist() == p_yes(load("none")).tolist()


def test_without_a_calibration_nothing_is_asked(run, load):
    (run / "calibration.json").unlink(missing_ok=True)
    with pytest.raises(ModelError) as caught:
        load("temperature")
    assert str(run / "calibration.json") in str(caught.value)
    assert f"reeltune evaluate --adapter {run}" in str(caught.value)
    load("temperature", calibrated=False)  # evaluate itself has to begin somewhere


def test_another_form_is_not_calibrated(run, load, calibration):
    with pytest.raises(ModelError) as caught:
        load("temperature", form="interview")
    assert str(run / "calibration.json") in str(caught.value.where)
    assert "interview" in caught.value.message and "window" in caught.value.message
