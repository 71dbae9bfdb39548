"""A merged model is measured from its folder."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from reeltune.config import load_config
from reeltune.errors import ModelError
from reeltune.export.drift import Measurement, difference
from reeltune.export.measure import Setup, measure_adapter, measure_merged
from reeltune.models.adapter import adapter_record
from reeltune.runs.folder import ADAPTER_WEIGHTS
from tests.errors import error_code, raises_error
from tests.export.conftest import WEIGHTS, Trained, change_record

EXAMPLE = [1, 2, 3]


@pytest.fixture(scope="module")
def adapter(trained: Trained) -> tuple[Setup, Measurement]:
    """The setup, and the adapter's predictions."""
    config = load_config(None, trained.overrides)
    return measure_adapter(config, trained.adapter, "test", lambda _: None)


@pytest.fixture
def merged(trained: Trained, tmp_path: Path) -> Path:
    """A merged model, exact, to be changed."""
    assert trained.export(tmp_path / "merged", "--dtype", "float32", "--rows", "3") == 0
    return tmp_path / "merged"


@pytest.mark.slow
def test_changed_weights_change_the_measurement(adapter, merged):
    setup, expected = adapter
    assert difference(expected, measure_merged(setup, merged, EXAMPLE)[0]).p_yes_max < 1e-5
    weights = load_file(merged / WEIGHTS)
    weights["model.layers.0.mlp.down_proj.weight"] *= 1.5
    save_file(weights, merged / WEIGHTS, {"format": "pt"})
    assert difference(expected, measure_merged(setup, merged, EXAMPLE)[0]).p_yes_max > 1e-4


@pytest.mark.slow
def test_a_tokenizer_that_writes_other_prompts_is_refused(adapter, merged):
    file = merged / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    words = content["model"]["vocab"]
    words["a"], words["e"] = words["e"], words["a"]
    file.write_text(json.dumps(content), encoding="utf-8")
    with raises_error(ModelError, "saved_tokenizer_differs", where=str(merged)):
        measure_merged(adapter[0], merged, EXAMPLE)


@pytest.mark.slow
def test_one_model_is_in_memory_at_a_time(trained, monkeypatch, tmp_path):
    loaded: list[weakref.ref[PreTrainedModel]] = []
    alive: list[int] = []
    load = PreTrainedModel.from_pretrained.__func__

    def counting(cls, *args, **kwargs):
        alive.append(sum(model() is not None for model in loaded))
        model = load(cls, *args, **kwargs)
        loaded.append(weakref.ref(model[0] if isinstance(model, tuple) else model))
        return model

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(counting))
    flags = ("--dtype", "float32", "--rows", "3", "--set", "quantization.allow_cpu=true")
    gc.disable()  # only the code under test frees memory
    try:
        assert trained.export(tmp_path / "merged", *flags) == 0
    finally:
        gc.enable()
    assert alive == [0, 0, 0, 0]


@pytest.mark.slow
def test_calibration_is_not_applied(trained, tmp_path):
    # The run has none, so applying it would be an error.
    flags = ("--dtype", "float32", "--rows", "3", "--set", "scoring.calibration=temperature")
    assert trained.export(tmp_path / "merged", *flags) == 0


@pytest.mark.slow
def test_activations_that_overflow_the_dtype_are_an_error(trained, tmp_path, capsys):
    adapter = trained.copy(tmp_path / "run")
    weights = load_file(adapter / ADAPTER_WEIGHTS)
    larger = {
        name: weight * 300 if ".mlp." in name and ".lora_B." in name else weight
        for name, weight in weights.items()
    }
    save_file(larger, adapter / ADAPTER_WEIGHTS, {"format": "pt"})
    change_record(adapter, adapter=adapter_record(adapter))
    flags = ("--dtype", "float16", "--rows", "3")
    assert trained.export(tmp_path / "merged", *flags, adapter=adapter) == ModelError.exit_code
    error = capsys.readouterr().err
    assert error_code(error) == "predictions_not_finite"
    assert "--dtype bfloat16" in error
    assert not (tmp_path / "merged").exists()
    assert [path for path in tmp_path.iterdir() if path != adapter] == []
