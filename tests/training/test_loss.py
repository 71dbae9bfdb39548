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
from reeltune.training.loss import answer_loss, pairwise_loss
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


def test_the_predictions_loss_is_the_log_loss_of_yes_against_no(model):
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


def test_the_pairwise_loss_by_hand():
    # Block 3 has two likes and one dislike; in block 4 all are liked, so nothing can stand wrong.
    log_odds = torch.tensor([1.0, -0.5, 0.25, 9.0, -9.0], requires_grad=True)
    liked = torch.tensor([True, False, True, True, True])
    loss = pairwise_loss(log_odds, liked, torch.tensor([3, 3, 3, 4, 4]))
    by_hand = 3 * (np.log1p(np.exp(-1.5)) + np.log1p(np.exp(-0.75))) / 2
    assert loss.item() == pytest.approx(by_hand)
    loss.backward()
    assert log_odds.grad is not None
    assert (log_odds.grad[:3].sign() == torch.tensor([-1, 1, -1])).all()
    assert (log_odds.grad[3:] == 0).all()


def test_a_pair_that_stands_right_costs_less_and_users_are_not_compared():
    liked, alone, both = torch.tensor([True, False]), torch.tensor([0, 1]), torch.tensor([5, 5])
    right, wrong = torch.tensor([2.0, -2.0]), torch.tensor([-2.0, 2.0])
    assert pairwise_loss(right, liked, both) < pairwise_loss(wrong, liked, both)
    assert pairwise_loss(right, liked, alone) == pairwise_loss(wrong, liked, alone) == 0


@pytest.mark.parametrize("end", [True, False])
def test_the_order_of_a_blocks_films_is_added_as_often_as_it_weighs(model, end):
    batch = batch_of(end) | {"sequence": torch.tensor([0, 0])}
    head = AnswerHead(model)
    plain, outputs = answer_loss(model, head, batch, ANSWERS)
    found, _ = answer_loss(model, head, batch, ANSWERS, pairwise_weight=0.5)
    two = outputs.logits[:: 1 + end, [ANSWERS.yes, ANSWERS.no]]
    added = pairwise_loss(two[:, 0] - two[:, 1], torch.tensor([True, False]), batch["sequence"])
    torch.testing.assert_close(found, plain + 0.5 * added)


# The same effective batch cut in several ways: rows of a batch, batches of a step.
CUTS = {"single": ((8, 1), (4, 2), (1, 8)), "blocks": ((2, 1), (1, 2))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "loss", "pairwise"),
    [("single", "answer", 0), ("blocks", "answer", 2.0), ("blocks", "yes_no", 0)],
)
def test_batch_size_and_accumulation_change_nothing(
    tiny_qwen3, prepared, tmp_path, layout, loss, pairwise
):
    """The same losses and the same adapter."""
    losses, adapters = [], []
    for size, accumulated in CUTS[layout]:
        run = train(
            tiny_config(
                tiny_qwen3,
                prepared.path,
                tmp_path,
                train__share_history=layout == "blocks",
                train__loss=loss,
                train__pairwise_weight=pairwise,
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
