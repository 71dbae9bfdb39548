"""What only a CUDA device can show. Each has a twin on the CPU in the files beside this one."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from reeltune.data.columns import VALIDATION
from reeltune.evaluation.evaluate import score_split
from reeltune.evaluation.subject import load_subject
from reeltune.models.causal import causal_of
from reeltune.models.choices import make_choices
from reeltune.models.load import add_adapter, load_base
from reeltune.prompts.chat import AnswerTokens
from reeltune.ragged import Ragged
from reeltune.scoring.scorer import Scorer
from tests.runs import tiny_config

pytestmark = pytest.mark.gpu


def test_qlora_trains_and_scores_afterwards_as_it_did_in_training(tiny_qwen3, prepared, tmp_path):
    from reeltune.training.train import train

    config = tiny_config(
        tiny_qwen3,
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
    after = score_split(load_subject(config, run), VALIDATION).metrics
    assert after.log_loss == pytest.approx(best["eval_log_loss"], abs=1e-3)


def test_four_bit_gradients_equal_the_dequantized_reference(tiny_qwen3, prepared, tmp_path):
    from tests.models.test_four_bit import dequantized, gradients

    config = tiny_config(
        tiny_qwen3, prepared.path, tmp_path, quantization__load_in_4bit=True, lora__dropout=0
    )
    model = add_adapter(load_base(config, make_choices(config)), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    reference = dequantized(model)
    ids = torch.randint(3, 200, (2, 12), generator=torch.Generator().manual_seed(0)).cuda()
    Scorer(model, AnswerTokens(7, 9, 2), 100).score(Ragged.from_rows([np.arange(3, 15)]))
    found, expected = gradients(model, ids), gradients(reference, ids)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-2, atol=1e-4)


def test_verdicts_equal_those_of_the_cpu(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    model = causal_of(load_base(config, make_choices(config)).model)
    prompts = Ragged.from_rows([np.arange(3, 3 + n) for n in (5, 30, 12)])
    answers = AnswerTokens(7, 9, 2)
    there = Scorer(model, answers, 100).score(prompts).p_yes
    here = Scorer(copy.deepcopy(model).cpu(), answers, 100).score(prompts).p_yes
    np.testing.assert_allclose(there, here, atol=1e-4)
