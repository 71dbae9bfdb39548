"""Verdicts: P(Yes) of many prompts. Everything that needs one asks here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.models.causal import causal_of
from reeltune.prompts.chat import AnswerTokens
from reeltune.ragged import Ragged
from reeltune.scoring.head import AnswerHead

Progress = Callable[[int, int], None]
"""Called with the prompts scored so far and the prompts in all."""


@dataclass(frozen=True)
class Verdicts:
    """The logits of both answers for each prompt, in the prompts' order.

    Attributes:
        yes_logit: Shape ``(n,)``, float32.
        no_logit: Shape ``(n,)``, float32.
    """

    yes_logit: npt.NDArray[np.float32]
    no_logit: npt.NDArray[np.float32]

    @property
    def p_yes(self) -> npt.NDArray[np.float64]:
        """P(Yes): the softmax of the two logits, which is the logistic of their difference."""
        odds = self.yes_logit.astype(np.float64) - self.no_logit.astype(np.float64)
        return np.exp(-np.logaddexp(0.0, -odds))


class Scorer:
    """Computes verdicts one prompt per row.

    Args:
        model: A causal language model, with or without adapter.
        answers: The ids of Yes and No.
        tokens_per_batch: How many tokens, padding included, one forward pass may hold.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        answers: AnswerTokens,
        tokens_per_batch: int,
    ) -> None:
        self.model = model
        self.answers = answers
        self.tokens_per_batch = tokens_per_batch
        self.head = AnswerHead(model)

    def score(self, prompts: Ragged, progress: Progress | None = None) -> Verdicts:
        """Return the verdict of every prompt.

        Args:
            prompts: Token ids up to where the answer begins, none of them empty.
            progress: Told after every batch.
        """
        logits = np.empty((len(prompts), 2), dtype=np.float32)
        done = 0
        with evaluating(self.model), torch.no_grad(), compute_context(self.model):
            for rows in batches_by_length(prompts.lengths, self.tokens_per_batch):
                logits[rows] = self._score_batch([prompts[int(row)] for row in rows])
                done += len(rows)
                if progress is not None:
                    progress(done, len(prompts))
        return Verdicts(yes_logit=logits[:, 0], no_logit=logits[:, 1])

    def _score_batch(self, rows: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
        mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
        device = self.head.causal.device
        states = self.head.hidden(ids.to(device), mask.to(device))
        last = states[torch.arange(len(rows), device=device), (lengths - 1).to(device)]
        return self.head.answer_logits(last, self.answers).cpu().numpy()


def batches_by_length(
    lengths: npt.NDArray[np.int64], tokens_per_batch: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield row indices in batches of like length, longest first.

    A batch holds at most ``tokens_per_batch`` tokens with its padding, and at least one row. The
    longest come first, so that memory that does not suffice shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout off, and back to what it was afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def compute_context(model: PreTrainedModel | PeftModel) -> torch.autocast:
    """Return the autocast that training uses, so that a verdict is the same in and after it."""
    causal = causal_of(model)
    mixed = causal.dtype in (torch.bfloat16, torch.float16)
    return torch.autocast(causal.device.type, dtype=causal.dtype if mixed else None, enabled=mixed)
