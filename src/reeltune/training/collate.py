"""From cached rows to a padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.rows import ANSWER_TOKENS
from reeltune.training.cache import INPUT_IDS, LIKED

IGNORED: Final = -100
"""The label of a position that carries no loss, as PyTorch's cross entropy defines it."""


@dataclass(frozen=True)
class AnswerCollator:
    """Sets the answer behind each prompt and pads on the right.

    Only the answer and the end of the turn carry a label.
    """

    answers: AnswerTokens
    pad_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels``, each ``(batch, length)``."""
        lengths = [len(row[INPUT_IDS]) + ANSWER_TOKENS for row in rows]
        shape = (len(rows), max(lengths))
        ids = torch.full(shape, self.pad_id, dtype=torch.long)
        labels = torch.full(shape, IGNORED, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            answer = torch.tensor([self.answers.of(bool(row[LIKED])), self.answers.end])
            ids[i, : length - ANSWER_TOKENS] = torch.as_tensor(row[INPUT_IDS])
            ids[i, length - ANSWER_TOKENS : length] = answer
            labels[i, length - ANSWER_TOKENS : length] = answer
            mask[i, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
