"""The training loss: cross entropy at the answer positions, where alone the head is applied."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import torch

from reeltune.attention.shared import sharing
from reeltune.models.causal_lm import head_of
from reeltune.prompts.chat import AnswerTokens
from reeltune.scoring.head import AnswerHead
from reeltune.training.collate import Batch

PAIRS_PAY_FROM: Final = 8000
"""The fewest training rows with which :func:`pairwise_loss` was seen to help (docs/QUALITY.md)."""


def answer_loss(
    model: torch.nn.Module,
    head: AnswerHead,
    batch: Batch,
    answers: AnswerTokens,
    pairwise_weight: float = 0.0,
) -> tuple[torch.Tensor, Any]:
    """Return the summed cross entropy of the answers, in nats, and the model's outputs.

    Two labels per position are the answer and the end of the turn, over the whole vocabulary
    (``train.loss=answer``); one is Yes against No alone (``yes_no``).

    Args:
        model: The model, possibly wrapped for several devices.
        head: The head of the language model inside it.
        batch: What a :class:`reeltune.training.collate.Collator` gives.
        answers: The ids of Yes and No.
        pairwise_weight: How much :func:`pairwise_loss` counts beside it; above 0 the batch has to
            be one of packed rows.
    """
    answer, labels = batch["answer_position"], batch["labels"]
    positions = torch.stack([answer + i for i in range(labels.shape[1])], dim=1).flatten()
    with applied_only_at(head_of(head.causal), positions):
        outputs = _forward(model, head, batch)
    logits, yes = outputs.logits.float(), labels[:, 0] == answers.yes
    predictions = logits[:: labels.shape[1], [answers.yes, answers.no]]
    loss = (
        torch.nn.functional.cross_entropy(predictions, (~yes).long(), reduction="sum")
        if labels.shape[1] == 1
        else torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum")
    )
    if pairwise_weight:
        log_odds = predictions[:, 0] - predictions[:, 1]
        loss = loss + pairwise_weight * pairwise_loss(log_odds, yes, batch["sequence"])
    return loss, outputs


def pairwise_loss(
    log_odds: torch.Tensor, liked: torch.Tensor, sequence: torch.Tensor
) -> torch.Tensor:
    """Return how badly liked films stand above disliked ones of the same user, summed, in nats.

    For a pair of a liked and a disliked film in one block it is the negative logarithm of the
    chance that the liked one comes first, taken as the sigmoid of the difference of their log-odds:
    RankNet, Burges et al. (2005), https://doi.org/10.1145/1102351.1102363. The mean over a block's
    pairs counts once for each of its predictions, so that blocks weigh as they do in the cross
    entropy, and how blocks are batched changes nothing.

    Args:
        log_odds: Of each prediction, shape ``(n,)``.
        liked: Whether each is a Yes, shape ``(n,)``.
        sequence: The sequence each stands in, shape ``(n,)``.
    """
    together = sequence[:, None] == sequence[None, :]
    size = together.sum(1)
    likes = (together & liked[None, :]).sum(1)
    pairs = together & liked[:, None] & ~liked[None, :]
    weight = size / (likes * (size - likes)).clamp(min=1)
    wrong = torch.nn.functional.softplus(log_odds[None, :] - log_odds[:, None])
    return (wrong * pairs * weight[:, None]).sum()


def attention_of(head: AnswerHead, batch: Batch) -> contextlib.AbstractContextManager[None]:
    """Return a context for a batch's forward and backward pass.

    With recomputed activations, the backward pass runs the model again and has to attend as the
    forward pass did.
    """
    return sharing(head.causal) if "packed" in batch else contextlib.nullcontext()


def _forward(model: torch.nn.Module, head: AnswerHead, batch: Batch) -> Any:
    if "packed" in batch:
        with head.reading(batch["packed"]) as inputs:
            return model(**inputs)
    return model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    )


@contextlib.contextmanager
def applied_only_at(head: torch.nn.Module, positions: torch.Tensor) -> Iterator[None]:
    """Inside the block, apply a head only to the hidden states at some positions.

    The model is called as always, so wrappers for several devices see an ordinary forward pass and
    whatever the model does to its logits still happens.

    Args:
        head: The output embedding.
        positions: Flat indices of positions (``row * length + place``), shape ``(n,)``. The
            logits come out as ``(n, vocabulary)``.
    """

    def select(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        # Indexing copies into a contiguous array; a strided one would copy the head.
        return inputs[0].flatten(0, 1)[positions]

    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()
