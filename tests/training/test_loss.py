"""What the loss is made of: the answer and the end of the turn, however the batch is cut up."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from reeltune.models.causal import head_of
from reeltune.prompts.chat import AnswerTokens, answer_tokens, chat_frame
from reeltune.training.collate import IGNORED, AnswerCollator
from reeltune.training.train import train
from reeltune.training.trainer import answer_loss
from tests.runs import tiny_config

ANSWERS = AnswerTokens(yes=7, no=9, end=2)
ROWS = [
    {"input_ids": [11, 12, 13], "liked": True},
    {"input_ids": [21, 22, 23, 24, 25], "liked": False},
]


def test_only_the_answer_and_the_end_carry_a_label():
    batch = AnswerCollator(ANSWERS, pad_id=0)(ROWS)
    assert batch["input_ids"].tolist() == [[11, 12, 13, 7, 2, 0, 0], [21, 22, 23, 24, 25, 9, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0], [1] * 7]
    assert batch["labels"].tolist() == [
        [IGNORED] * 3 + [7, 2] + [IGNORED] * 2,
        [IGNORED] * 5 + [9, 2],
    ]


def test_the_trained_tokens_read_as_the_answer(tiny_qwen3):
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen3)
    answers = answer_tokens(tokenizer, chat_frame(tokenizer))
    batch = AnswerCollator(answers, pad_id=0)(ROWS)
    trained = [tokenizer.decode(row[row != IGNORED]) for row in batch["labels"]]
    assert trained == ["Yes<|im_end|>", "No<|im_end|>"]


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_equals_the_models_own_loss_on_the_same_labels(kind, request):
    model = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(f"tiny_{kind}"))
    batch = AnswerCollator(ANSWERS, pad_id=0)(ROWS)
    loss, outputs = answer_loss(model, head_of(model), batch)
    assert outputs.logits.shape == (4, model.config.vocab_size)
    torch.testing.assert_close(loss / 4, model(**batch).loss)
    # and the head is whole again afterwards
    assert model(batch["input_ids"]).logits.shape[:2] == batch["input_ids"].shape


def test_batch_size_and_accumulation_change_nothing(tiny_qwen3, prepared, tmp_path):
    """One effective batch of 8, cut three ways: the same losses and the same adapter."""
    losses, adapters = [], []
    for size, accumulated in ((8, 1), (4, 2), (1, 8)):
        run = train(
            tiny_config(
                tiny_qwen3,
                prepared.path,
                tmp_path,
                train__batch_size=size,
                train__gradient_accumulation_steps=accumulated,
                train__output_dir=tmp_path / f"run-{size}",
                train__logging_steps=1,
                # Adam divides by the size of the gradient, which blows rounding up.
                train__optimizer="sgd",
                lora__dropout=0,
            )
        )
        log = (run / "metrics.json").read_text()
        losses.append([entry["loss"] for entry in json.loads(log)["losses"]])
        adapters.append(load_file(run / "adapter_model.safetensors"))
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-5)
    assert len(set(losses[0])) == len(losses[0]) == 4
    for other in adapters[1:]:
        for name, weight in adapters[0].items():
            torch.testing.assert_close(other[name], weight, rtol=1e-4, atol=1e-6)
