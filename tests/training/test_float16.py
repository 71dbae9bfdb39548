"""float16: scoring anywhere, training on a GPU with loss scaling and an adapter in float32."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reeltune.data.columns import VALIDATION
from reeltune.models.choices import Choice, make_choices
from reeltune.models.load import add_adapter, load_base
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.rows import train_rows
from reeltune.runs.folder import ADAPTER_WEIGHTS
from reeltune.scoring.head import AnswerHead
from reeltune.scoring.scorer import Scorer, compute_context
from reeltune.training.collate import fullest_batch
from reeltune.training.inputs import build_collator, trainer_inputs
from reeltune.training.loss import answer_loss, attention_of
from reeltune.training.train import train
from reeltune.training.trainer import hold_in_float32, trainer_arguments
from tests.helpers import tiny_model
from tests.runs import tiny_config


def with_adapter(dtype: str, model: Path, prepared: Any, work: Path) -> LoadedModel:
    """Return a model with a new adapter, also where training would refuse the dtype."""
    loaded = load_model(tiny_config(model, prepared.path, work, lora__dropout=0))
    config = tiny_config(model, prepared.path, work, model__dtype=dtype, lora__dropout=0)
    base = load_base(config, make_choices(config))
    adapted = add_adapter(base, config)
    hold_in_float32(adapted)
    return replace(loaded, config=config, base=base, model=adapted)


def gradients(loaded: LoadedModel, scale: float) -> dict[str, torch.Tensor]:
    """Return the adapter's gradients of one batch, the loss multiplied by a scale."""
    rows = loaded.select(train_rows(loaded.config)).rows
    batch = fullest_batch(build_collator(loaded, rows), 1)
    model, head = loaded.model.train(), AnswerHead(loaded.model)
    with attention_of(head, batch):
        with compute_context(loaded.model):
            loss, _ = answer_loss(model, head, batch, loaded.answers)
        (scale * loss / batch["labels"].numel()).backward()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {p.dtype for p in named.values()} == {torch.float32}
    return {name: p.grad / scale for name, p in named.items() if p.grad is not None}


@pytest.mark.slow
def test_scaled_gradients_are_those_of_float32(tiny_qwen3, prepared, tmp_path):
    """What a GPU does under fp16: float16 products, a scaled loss, float32 adapter weights."""
    exact = gradients(with_adapter("float32", tiny_qwen3, prepared, tmp_path), 1.0)
    scaled = gradients(with_adapter("float16", tiny_qwen3, prepared, tmp_path), 2.0**10)
    assert scaled.keys() == exact.keys()
    moved = [name for name, gradient in exact.items() if bool(gradient.any())]
    assert moved
    for name in moved:
        similarity = torch.cosine_similarity(scaled[name].flatten(), exact[name].flatten(), dim=0)
        assert similarity > 0.99, name


@pytest.mark.slow
def test_loss_scaling_keeps_gradients_that_float16_loses(tiny_qwen3, prepared, tmp_path):
    """A loss of a millionth: without scaling its gradients are below what float16 represents."""
    loaded = with_adapter("float16", tiny_qwen3, prepared, tmp_path)
    small = gradients(loaded, 2.0**-24)
    lost = sum(int((gradient == 0).sum()) for gradient in small.values())
    loaded.model.zero_grad()
    kept = sum(int((gradient == 0).sum()) for gradient in gradients(loaded, 2.0**10).values())
    assert lost > kept


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_predictions_in_float16_are_those_of_float32(shared, tiny_qwen3, prepared, tmp_path):
    changes = {"train__max_steps": 2, "scoring__share_history": shared}
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes)
    run, log_odds = train(config), {}
    for dtype in ("float32", "float16"):
        changes["model__dtype"] = dtype
        loaded = load_model(tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes), run)
        assert str(loaded.base.choices.dtype.value) == f"torch.{dtype}"
        sequences = loaded.held_out(VALIDATION, None).rows.sequences
        log_odds[dtype] = Scorer.checked(loaded, sequences).score(sequences).log_odds
    assert log_odds["float16"] == pytest.approx(log_odds["float32"], abs=0.02)
    assert not (log_odds["float16"] == log_odds["float32"]).all()


@pytest.mark.parametrize(
    ("dtype", "fp16", "bf16"),
    [(torch.float16, True, False), (torch.bfloat16, False, True), (torch.float32, False, False)],
)
def test_the_trainer_scales_the_loss_in_float16_only(
    dtype, fp16, bf16, tiny_qwen3, prepared, tmp_path
):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    loaded = load_model(config, trainable=True)
    rows = loaded.select(train_rows(config)).rows
    choices = replace(loaded.base.choices, dtype=Choice(dtype, "for the test"))
    inputs = trainer_inputs(loaded, rows, rows)
    inputs = replace(inputs, loaded=replace(loaded, base=replace(loaded.base, choices=choices)))
    arguments = trainer_arguments(inputs, tmp_path)
    assert (arguments.fp16, arguments.bf16) == (fp16, bf16)


@pytest.mark.gpu
def test_training_in_float16_on_a_gpu(prepared, tmp_path):
    model = tiny_model(tmp_path / "model", head_dim=16)
    changes = {"model__dtype": "float16", "train__max_steps": 8, "train__compile": False}
    run = train(tiny_config(model, prepared.path, tmp_path, **changes))
    weights = load_file(run / ADAPTER_WEIGHTS)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(bool(weight.isfinite().all()) for weight in weights.values())
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["losses"][-1]["loss"] < metrics["losses"][0]["loss"]
    scaler = torch.load(run / "checkpoint-8" / "scaler.pt", weights_only=True)
    assert scaler["scale"] > 1
