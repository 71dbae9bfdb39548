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
from tests.errors import raises_error
from tests.runs import tiny_config
from tests.scored import score_split


@pytest.fixture(scope="module")
def run(tiny_qwen3, prepared, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("calibrated")
    return train(tiny_config(tiny_qwen3, prepared.path, work, train__max_steps=2))


@pytest.fixture
def load(run, tiny_qwen3, prepared, tmp_path):
    """Load the run, or the base model, with a calibration method."""

    def loaded(method: str, adapter: Path | None = run, **options) -> LoadedModel:
        changes = {"scoring__calibration": method}
        config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes)
        return load_model(config, adapter, **options)

    return loaded


def p_yes(loaded_model: LoadedModel) -> np.ndarray:
    return score_split(loaded_model, VALIDATION).predictions.p_yes


@pytest.fixture
def calibration(run, load) -> Calibration:
    """Fitted on uncalibrated predictions, written beside the adapter."""
    scored = score_split(load("none"), VALIDATION)
    result = fit_calibration(
        scored.rows.liked, scored.predictions.p_yes, form="window", share_history=True
    )
    write_calibration(run, result)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("method", CALIBRATED)
def test_the_predictions_of_the_adapter_are_calibrated(load, calibration, method):
    uncalibrated = p_yes(load("none"))
    calibrated = p_yes(load(method))
    assert calibrated.tolist() == calibration.apply(uncalibrated, method).tolist()
    assert np.abs(calibrated - uncalibrated).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("method", CALIBRATED)
def test_the_base_model_is_not_calibrated(load, calibration, method):
    base = p_yes(load("none", adapter=None))
    assert p_yes(load(method, adapter=None)).tolist() == base.tolist()
    tuned = load(method)
    before = p_yes(tuned)
    with tuned.without_adapter():
        np.testing.assert_allclose(p_yes(tuned), base, rtol=0, atol=1e-6)
    assert p_yes(tuned).tolist() == before.tolist()


@pytest.mark.slow
def test_a_model_loaded_without_calibration_is_not_calibrated(load, calibration):
    result = p_yes(load("isotonic", calibrated=False))
    assert result.tolist() == p_yes(load("none")).tolist()


def test_a_missing_calibration_is_refused(run, load):
    (run / "calibration.json").unlink(missing_ok=True)
    file, hint = str(run / "calibration.json"), f"reeltune evaluate --adapter {run}"
    with raises_error(ModelError, "calibration_missing", where=file, figures=[hint]):
        load("temperature")
    load("temperature", calibrated=False)  # as evaluate does


def test_a_calibration_of_another_form_is_refused(run, load, calibration):
    file, forms = str(run / "calibration.json"), ["interview", "window"]
    with raises_error(ModelError, "other_calibration_prompt", where=file, figures=forms):
        load("temperature", form="interview")
