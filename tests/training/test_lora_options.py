"""Options of PEFT's LoraConfig: trained, saved and loaded with the same predictions."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaMLP

from reeltune.data.columns import VALIDATION
from reeltune.models.loaded_model import load_model
from reeltune.runs.folder import ADAPTER_WEIGHTS
from reeltune.training.train import train
from tests.runs import tiny_config
from tests.scored import score_split


def read(run: Path, name: str) -> dict[str, Any]:
    return json.loads((run / f"{name}.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{"use_dora": True}, {"use_rslora": True}], ids="".join)
def test_a_saved_adapter_predicts_as_at_the_end_of_training(extra, tiny_qwen3, prepared, tmp_path):
    option = json.dumps(extra)
    run = train(tiny_config(tiny_qwen3, prepared.path, tmp_path, lora__extra=option))
    assert read(run, "run")["config"]["lora"]["extra"] == extra
    assert extra.items() <= read(run, "adapter_config").items()
    # The configuration of later commands need not repeat the options.
    loaded = load_model(tiny_config(tiny_qwen3, prepared.path, tmp_path), run)
    measured = score_split(loaded, VALIDATION).metrics.to_dict()
    best = read(run, "metrics")["best"]
    for name in ("auc", "log_loss", "brier"):
        assert measured[name] == pytest.approx(best[f"eval_{name}"], abs=1e-6)
    plain = train(tiny_config(tiny_qwen3, prepared.path, tmp_path / "plain"))
    losses = [read(folder, "metrics")["losses"][-1]["loss"] for folder in (run, plain)]
    assert not math.isclose(*losses, rel_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_an_adapter_in_the_top_layers_alone(
    checkpointing, tiny_llama, prepared, tmp_path, monkeypatch
):
    calls: Counter[LlamaMLP] = Counter()
    forward = LlamaMLP.forward

    def counted(self: LlamaMLP, states: torch.Tensor) -> torch.Tensor:
        calls[self] += self.training
        return forward(self, states)

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    config = tiny_config(
        tiny_llama,
        prepared.path,
        tmp_path,
        lora__dropout=0,
        lora__top_layers=0.5,
        train__gradient_checkpointing=checkpointing,
    )
    run = train(config)
    lower, upper = sorted(calls.values())
    assert lower > 0
    assert upper == lower * (1 + checkpointing)  # the lower layer is not computed again
    weights = load_file(run / ADAPTER_WEIGHTS)
    assert len(weights) == 14  # two matrices for each of seven linear layers
    assert all(".layers.1." in name for name in weights)
    assert "all-linear, in the top 50 % of the layers |" in (run / "README.md").read_text()
    assert all(weight.any() for weight in weights.values())
    measured = score_split(load_model(config, run), VALIDATION).metrics.to_dict()
    assert measured["log_loss"] == pytest.approx(
        read(run, "metrics")["best"]["eval_log_loss"], abs=1e-6
    )
