"""A prediction equals the softmax of the model's own logits, whatever shares its batch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    PreTrainedModel,
)

from reeltune.errors import ModelError
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.head import AnswerHead
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.scorer import Scorer, batches_by_length
from tests.errors import raises_error

ANSWERS = AnswerTokens(yes=7, no=9, end=2)


@pytest.fixture(params=["qwen3", "llama"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    folder: Path = request.getfixturevalue(f"tiny_{request.param}")
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def prompts() -> Ragged:
    random = np.random.default_rng(0)
    return Ragged.from_rows([random.integers(3, 200, size=n) for n in (5, 31, 1, 17, 17, 8, 40)])


def alone(model: torch.nn.Module, prompts: Ragged) -> np.ndarray:
    """P(Yes) from the model's own logits, one prompt at a time."""
    found = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(torch.tensor([prompt.tolist()])).logits[0, -1, [ANSWERS.yes, ANSWERS.no]]
        found.append(logits.double().softmax(0)[0].item())
    return np.array(found)


@pytest.mark.parametrize("tokens_per_batch", [1, 40, 100, 10_000])
def test_equals_the_models_own_softmax(model, prompts, tokens_per_batch):
    scored = Scorer(model, ANSWERS, tokens_per_batch).score(Sequences.single(prompts)).p_yes
    np.testing.assert_allclose(scored, alone(model, prompts), rtol=0, atol=1e-6)


def test_answers_after_prompts_do_not_change_predictions(model, prompts):
    """Rows of training contain their answers; predictions are computed before them."""
    answered = Ragged.from_rows([np.append(prompt, ANSWERS.yes) for prompt in prompts])
    scored = Scorer(model, ANSWERS, 100).score(Sequences.single(answered, answered=True)).p_yes
    np.testing.assert_allclose(scored, alone(model, prompts), rtol=0, atol=1e-6)


def test_an_adapter_counts_and_can_be_switched_off(model, prompts):
    before = alone(model, prompts)
    torch.manual_seed(1)
    tuned = get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=4)
    )
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    scorer = Scorer(tuned, ANSWERS, 100)
    with_adapter = scorer.score(Sequences.single(prompts)).p_yes
    np.testing.assert_allclose(with_adapter, alone(tuned.eval(), prompts), rtol=0, atol=1e-6)
    assert np.abs(with_adapter - before).max() > 1e-3
    with tuned.disable_adapter():
        np.testing.assert_allclose(
            scorer.score(Sequences.single(prompts)).p_yes, before, rtol=0, atol=1e-6
        )


def test_dropout_is_off_while_scoring_and_back_afterwards(model, prompts):
    tuned = get_peft_model(
        model,
        LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=4, lora_dropout=0.9),
    )
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    tuned.train()
    scorer = Scorer(tuned, ANSWERS, 100)
    first, second = (scorer.score(Sequences.single(prompts)).p_yes for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert tuned.training


def test_no_prompts_no_predictions(model):
    none = Sequences.single(Ragged.from_rows([]))
    assert len(Scorer(model, ANSWERS, 100).score(none).p_yes) == 0


def test_progress_counts_every_prompt(model, prompts):
    told: list[tuple[int, int]] = []
    scorer = Scorer(model, ANSWERS, 40)
    scorer.score(Sequences.single(prompts), lambda done, total: told.append((done, total)))
    assert told[-1] == (len(prompts), len(prompts))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_extreme_logits_give_probabilities_not_errors():
    huge = Predictions(np.array([1e4, -1e4], np.float32), np.array([-1e4, 1e4], np.float32))
    np.testing.assert_array_equal(huge.p_yes, [1.0, 0.0])


def test_batches_hold_every_row_once_within_the_bound():
    lengths = np.random.default_rng(1).integers(1, 60, size=200)
    batches = list(batches_by_length(lengths, 100))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    for rows in batches:
        assert len(rows) * lengths[rows].max() <= 100 or len(rows) == 1
    assert lengths[batches[0]].max() == lengths.max()


TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize(
    "build",
    [
        lambda: GraniteForCausalLM(GraniteConfig(**TINY, logits_scaling=8.0)),
        lambda: CohereForCausalLM(CohereConfig(**TINY, logit_scale=0.25)),
        lambda: Gemma2ForCausalLM(
            Gemma2Config(**TINY, head_dim=8, final_logit_softcapping=0.5, query_pre_attn_scalar=8)
        ),
    ],
    ids=["granite divides", "cohere multiplies", "gemma caps"],
)
def test_models_that_change_their_logits(build, prompts):
    torch.manual_seed(0)
    model = build().eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.5)
    Scorer(model, ANSWERS, 100).check(Sequences.single(prompts))
    scored = Scorer(model, ANSWERS, 100).score(Sequences.single(prompts)).p_yes
    np.testing.assert_allclose(scored, alone(model, prompts), rtol=0, atol=1e-6)


def test_an_unknown_change_of_the_logits_is_refused(model, prompts, monkeypatch):
    forward = model.forward

    def doubled(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = output.logits * 20
        return output

    monkeypatch.setattr(model, "forward", doubled)
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.5)
    with raises_error(ModelError, "unknown_logit_transform"):
        Scorer(model, ANSWERS, 100).check(Sequences.single(prompts))


@pytest.mark.parametrize(("of_rows", "refused"), [(16.19, False), (16.5, True)])
def test_logits_of_autocast_may_differ_by_its_rounding(model, monkeypatch, of_rows, refused):
    """Accelerate returns them in float32; bfloat16 has steps of 0.125 at 16."""
    model = model.to(torch.bfloat16)
    forward = model.forward

    def in_float32(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = torch.zeros_like(output.logits, dtype=torch.float32)
        output.logits[..., ANSWERS.yes] = 16.06
        return output

    monkeypatch.setattr(model, "forward", in_float32)
    rows = torch.tensor([[of_rows, 0.0]])
    monkeypatch.setattr(AnswerHead, "answer_logits", lambda *_: rows)
    expected = raises_error(ModelError, "unknown_logit_transform") if refused else nullcontext()
    with torch.no_grad(), expected:
        AnswerHead(model).check([3, 5, 8, 13], ANSWERS)


def test_the_check_asks_the_model_below_what_accelerate_wraps(model, monkeypatch):
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))
    monkeypatch.setattr(tuned, "forward", None)
    with torch.no_grad():
        AnswerHead(tuned).check([3, 5, 8, 13], ANSWERS)
