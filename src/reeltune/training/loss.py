"""The training loss: cross entropy, with the head applied at the answer positions only."""

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

    With two labels per position (``train.loss=answer``) it is that of answer and end of turn over
    the whole vocabulary; with one (``yes_no``), of Yes against No alone.

    Args:
        model: The model, possibly wrapped for several devices.
        head: The head of the language model inside it.
        batch: A batch of a :class:`reeltune.training.collate.Collator`.
        answers: The ids of Yes and No.
        pairwise_weight: Weight of :func:`pairwise_loss`; above 0 the batch must have packed rows.
    """
    answer, labels = batch["answer_position"], batch["labels"]
    positions = torch.stack([answer + i for i in range(labels.shape[1])], dim=1).flatten()
    with applied_only_at(head_of(head.causal), positions):
        if "packed" in batch:
            with head.reading(batch["packed"]) as inputs:
                outputs = model(**inputs)
        else:
            ids, mask = batch["input_ids"], batch["attention_mask"]
            outputs = model(input_ids=ids, attention_mask=mask, use_cache=False)
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
    """Return the RankNet loss of liked against disliked items of a block, summed, in nats.

    Burges et al. (2005), https://doi.org/10.1145/1102351.1102363: for each pair, the negative
    logarithm of the sigmoid of the difference of their log-odds. The mean over a block's pairs is
    weighted by its number of predictions, as blocks are in the cross entropy, so that batching
    changes nothing.

    Args:
        log_odds: Shape ``(n,)``.
        liked: Shape ``(n,)``.
        sequence: The sequence of each prediction, shape ``(n,)``.
    """
    together = sequence[:, None] == sequence[None, :]
    size = together.sum(1)
    likes = (together & liked[None, :]).sum(1)
    pairs = together & liked[:, None] & ~liked[None, :]
    weight = size / (likes * (size - likes)).clamp(min=1)
    losses = torch.nn.functional.softplus(log_odds[None, :] - log_odds[:, None])
    return (losses * pairs * weight[:, None]).sum()


def attention_of(head: AnswerHead, batch: Batch) -> contextlib.AbstractContextManager[None]:
    """Return a context for a batch's forward and backward pass.

    The backward pass needs it too, since it may recompute activations.
    """
    return sharing(head.causal) if "packed" in batch else contextlib.nullcontext()


@contextlib.contextmanager
def applied_only_at(head: torch.nn.Module, positions: torch.Tensor) -> Iterator[None]:
    """Inside the block, apply a head only to the hidden states at some positions.

    A hook does so, which wrappers for several devices and the model's own changes of its logits
    do not notice.

    Args:
        head: The output embedding.
        positions: Flat indices (``row * length + index``), shape ``(n,)``. Logits then have the
            shape ``(n, vocabulary)``.
    """

    def select(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        # Indexing copies into a contiguous array; a strided one would copy the head.
        return inputs[0].flatten(0, 1)[positions]

    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()
