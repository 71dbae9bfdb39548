"""The language-model head at the answer positions only, for the training loss and predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.attention.packed import Packed
from reeltune.attention.shared import sharing, visibility
from reeltune.errors import ModelError
from reeltune.models.causal_lm import causal_of, head_of
from reeltune.prompts.chat import AnswerTokens

_LOGIT_TOLERANCE = 0.05
"""Largest difference in log-odds between the two rows and the model's full head.

It grows with the size of the logits, which the model computes and rounds in its dtype.
"""


class AnswerHead:
    """Runs a causal language model up to its last hidden states and applies the head to some."""

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self.causal = causal_of(model)
        config = self.causal.config.get_text_config()
        # Granite divides its logits, Cohere multiplies them, Gemma caps them.
        divisor = getattr(config, "logits_scaling", None) or 1.0
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(divisor)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)

    def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states, shape ``(batch, length, hidden)``, in the model's dtype.

        Both arguments have shape ``(batch, length)``; the mask is 1 at tokens.
        """
        decoder = self.causal.base_model
        output = decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        return output.last_hidden_state

    def packed_hidden(self, packed: Packed) -> torch.Tensor:
        """Return the last hidden states of packed rows on the model's device."""
        with self.reading(packed) as inputs:
            return self.causal.base_model(**inputs).last_hidden_state

    @contextlib.contextmanager
    def reading(self, packed: Packed) -> Iterator[dict[str, Any]]:
        """Yield the model's keyword arguments for packed rows; valid inside the block."""
        device = self.causal.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self.causal.dtype
        with sharing(self.causal):
            yield {
                "input_ids": packed.ids,
                "position_ids": packed.position,
                "visible": visibility(packed, dtype),
                "use_cache": False,
            }

    def answer_logits(self, states: torch.Tensor, answers: AnswerTokens) -> torch.Tensor:
        """Return the logits of Yes and No, shape ``(n, 2)``, computed in float32.

        Args:
            states: Hidden states at answer positions, shape ``(n, hidden)``.
            answers: The token ids of Yes and No.
        """
        head = head_of(self.causal)
        rows = [answers.yes, answers.no]
        with torch.autocast(states.device.type, enabled=False):
            logits = states.float() @ head.weight[rows].float().T
            if getattr(head, "bias", None) is not None:
                logits = logits + head.bias[rows].float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def check(self, prompt: list[int], answers: AnswerTokens) -> None:
        """Check on one prompt that the two rows give the model's own log-odds.

        Raises:
            ModelError: The model transforms its logits in an unknown way.
        """
        ids = torch.tensor([prompt], device=self.causal.device)
        mask = torch.ones_like(ids)
        with torch.no_grad():
            own = self.causal(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, -1]
            two = self.answer_logits(self.hidden(ids, mask)[:, -1], answers)[0]
        expected = (own[answers.yes].float() - own[answers.no].float()).item()
        actual = (two[0] - two[1]).item()
        rounded = torch.finfo(own.dtype).eps * own[[answers.yes, answers.no]].abs().sum().item()
        allowed = _LOGIT_TOLERANCE * max(1.0, own.abs().max().item() / 8) + rounded
        if not abs(actual - expected) <= allowed:
            raise ModelError(
                f"{type(self.causal).__name__} transforms its logits in an unknown way (log-odds "
                f"{expected:.4f}, from the head's rows {actual:.4f})",
                code="unknown_logit_transform",
                where=str(self.causal.config.name_or_path),
            )
