"""Tests on a CUDA device; each has a counterpart on the CPU."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reeltune.data.columns import VALIDATION
from reeltune.models.causal_lm import causal_of
from reeltune.models.choices import make_choices
from reeltune.models.load import add_adapter, load_base
from reeltune.models.loaded_model import load_model
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.scorer import Scorer
from reeltune.training.callbacks import StepClock
from reeltune.training.train import train
from tests.helpers import Kind, tiny_model
from tests.models.test_four_bit import dequantized, gradients
from tests.runs import tiny_config
from tests.scored import score_split
from tests.scoring.sharing import (
    FORMS,
    check_gradients,
    check_predictions,
    drawn_model,
    shared_gradients,
    sharing_case,
)

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def float32_in_full():
    """No rounding to TensorFloat32, and nothing compiled for another test's model."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    torch._dynamo.reset()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[Kind, Path]:
    """Tiny models whose heads are large enough for FlexAttention's kernels."""
    folder = tmp_path_factory.mktemp("models")
    kinds: tuple[Kind, ...] = ("qwen3", "llama")
    return {kind: tiny_model(folder / kind, kind, head_dim=32) for kind in kinds}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_shared_predictions_equal_those_of_the_prompts_alone(
    kind, form, compiled, models, prepared
):
    case = sharing_case(prepared, drawn_model(models[kind], "cuda"), models[kind], form)
    case.scorer(900).check(case.rows(7, 20, 0).sequences)
    check_predictions(case, case.rows(7, 20, 0).sequences, atol=2e-5, compiled=compiled)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_shared_gradients_equal_those_of_the_prompts_alone(form, end, compiled, models, prepared):
    case = sharing_case(prepared, drawn_model(models["qwen3"], "cuda"), models["qwen3"], form)
    rows = case.rows(3, 20, 0, answered=True)
    check_gradients(case, rows, end, rtol=2e-4, compiled=compiled)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_compiled_blocks_train_and_score_afterwards_as_they_did_in_training(
    form, checkpointing, models, prepared, tmp_path
):
    config = tiny_config(
        models["qwen3"],
        prepared.path,
        tmp_path,
        prompt__form=form,
        train__compile=True,
        train__batch_size=2,
        train__max_steps=6,
        train__gradient_checkpointing=checkpointing,
    )
    run = train(config)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["speed"]["steps_counted"] == 6 - StepClock.WARM_UP_STEPS
    after = score_split(load_model(config, run), VALIDATION).metrics
    assert after.log_loss == pytest.approx(metrics["best"]["eval_log_loss"], abs=1e-3)


def test_compiled_layers_learn_the_same(models, prepared, tmp_path):
    def losses(compiled: bool) -> list[float]:
        config = tiny_config(
            models["qwen3"],
            prepared.path,
            tmp_path,
            train__compile=compiled,
            train__optimizer="sgd",
            train__batch_size=1,
            train__logging_steps=1,
            train__output_dir=tmp_path / str(compiled),
            lora__dropout=0,
        )
        written = json.loads((train(config) / "metrics.json").read_text())
        return [entry["loss"] for entry in written["losses"]]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_shared_predictions_and_gradients_equal_those_of_the_cpu(form, models, prepared):
    """FlexAttention against the CPU's own attention, on the same packed rows."""
    found = []
    for device in ("cuda", "cpu"):
        case = sharing_case(prepared, drawn_model(models["llama"], device), models["llama"], form)
        predictions = case.scorer(900).score(case.rows(7, 20, 0).sequences)
        found.append((predictions, shared_gradients(case, case.rows(3, 20, 0, True), end=True)))
    (predictions, (loss, there)), (expected, (expected_loss, here)) = found
    np.testing.assert_allclose(predictions.p_yes, expected.p_yes, rtol=0, atol=2e-5)
    assert loss == pytest.approx(expected_loss, rel=2e-4)
    for name, gradient in here.items():
        atol = 2e-4 * gradient.abs().max().item()
        torch.testing.assert_close(there[name].cpu(), gradient, rtol=0, atol=atol)


def test_qlora_trains_and_scores_afterwards_as_it_did_in_training(models, prepared, tmp_path):
    config = tiny_config(
        models["qwen3"],
        prepared.path,
        tmp_path,
        model__dtype="auto",
        quantization__load_in_4bit=True,
    )
    run = train(config)
    record = json.loads((run / "run.json").read_text())
    assert any(choice.startswith("four bit: True") for choice in record["choices"])
    assert any(choice.startswith("dtype: bfloat16") for choice in record["choices"])
    best = json.loads((run / "metrics.json").read_text())["best"]
    after = score_split(load_model(config, run), VALIDATION).metrics
    assert after.log_loss == pytest.approx(best["eval_log_loss"], abs=1e-3)


def test_four_bit_gradients_equal_the_dequantized_reference(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(
        tiny_qwen3, prepared.path, tmp_path, quantization__load_in_4bit=True, lora__dropout=0
    )
    model = add_adapter(load_base(config, make_choices(config)), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    reference = dequantized(model)
    ids = torch.randint(3, 200, (2, 12), generator=torch.Generator().manual_seed(0)).cuda()
    one = Sequences.single(Ragged.from_rows([np.arange(3, 15)]))
    Scorer(model, AnswerTokens(7, 9, 2), 100).score(one)
    found, expected = gradients(model, ids), gradients(reference, ids)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-2, atol=1e-4)


def test_predictions_equal_those_of_the_cpu(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    model = causal_of(load_base(config, make_choices(config)).model)
    prompts = Sequences.single(Ragged.from_rows([np.arange(3, 3 + n) for n in (5, 30, 12)]))
    answers = AnswerTokens(7, 9, 2)
    there = Scorer(model, answers, 100).score(prompts).p_yes
    here = Scorer(copy.deepcopy(model).cpu(), answers, 100).score(prompts).p_yes
    np.testing.assert_allclose(there, here, atol=1e-4)
