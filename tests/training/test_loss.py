"""What the loss is made of: the answer and the end of the turn, however the batch is cut up."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.rows import TokenRows
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.head import AnswerHead
from reeltune.training.collate import ROW, Labels, PlainCollator
from reeltune.training.loss import answer_loss
from reeltune.training.train import train
from tests.runs import tiny_config

ANSWERS = AnswerTokens(yes=7, no=9, end=2)
PROMPTS = [[11, 12, 13], [21, 22, 23, 24, 25]]
WORDS = [7, 9]
IGNORED = -100


def batch_of(end: bool):
    ids = Ragged.from_rows([[*prompt, word] for prompt, word in zip(PROMPTS, WORDS, strict=True)])
    none = np.zeros(2, dtype=np.int64)
    rows = TokenRows(Sequences.single(ids, answered=True), np.array([True, False]), none, none)
    return PlainCollator(rows, Labels(ANSWERS, end), pad_id=0)([{ROW: 0}, {ROW: 1}])


@pytest.fixture(params=["qwen3", "llama"])
def model(request: pytest.FixtureRequest):
    return AutoModelForCausalLM.from_pretrained(request.getfixturevalue(f"tiny_{request.param}"))


def test_the_answers_loss_is_the_models_own_on_the_same_labels(model):
    loss, outputs = answer_loss(model, AnswerHead(model), batch_of(end=True), ANSWERS)
    assert outputs.logits.shape == (4, model.config.vocab_size)
    own = 0.0
    for prompt, word in zip(PROMPTS, WORDS, strict=True):
        ids = torch.tensor([[*prompt, word, ANSWERS.end]])
        labels = torch.tensor([[IGNORED] * len(prompt) + [word, ANSWERS.end]])
        own += 2 * model(ids, labels=labels).loss
    torch.testing.assert_close(loss, own)


def test_the_verdicts_loss_is_the_log_loss_of_yes_against_no(model):
    loss, _ = answer_loss(model, AnswerHead(model), batch_of(end=False), ANSWERS)
    own = 0.0
    for prompt, word in zip(PROMPTS, WORDS, strict=True):
        two = model(torch.tensor([prompt])).logits[0, -1, [ANSWERS.yes, ANSWERS.no]]
        own -= two.log_softmax(-1)[[ANSWERS.yes, ANSWERS.no].index(word)]
    torch.testing.assert_close(loss, own)


def test_the_head_is_whole_again_afterwards(model):
    answer_loss(model, AnswerHead(model), batch_of(end=True), ANSWERS)
    ids = torch.tensor(PROMPTS[:1])
    assert model(ids).logits.shape == (1, 3, model.config.vocab_size)


# The same effective batch cut in several ways: rows of a batch, batches of a step.
CUTS = {"single": ((8, 1), (4, 2), (1, 8)), "blocks": ((2, 1), (1, 2))}


@pytest.mark.parametrize(
    ("layout", "loss"), [("single", "answer"), ("blocks", "answer"), ("blocks", "verdict")]
)
def test_batch_size_and_accumulation_change_nothing(tiny_qwen3, prepared, tmp_path, layout, loss):
    """The same losses and the same adapter."""
    losses, adapters = [], []
    for size, accumulated in CUTS[layout]:
        run = train(
            tiny_config(
                tiny_qwen3,
                prepared.path,
                tmp_path,
                train__layout=layout,
                train__loss=loss,
                train__batch_size=size,
                train__gradient_accumulation_steps=accumulated,
                train__output_dir=tmp_path / f"run-{size}",
                train__logging_steps=1,
                train__eval_steps=4,
                train__save_steps=4,
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
