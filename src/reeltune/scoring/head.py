"""The language-model head at the answer position.

Both the training loss and the predictions read hidden states through this, so that neither ever
builds logits for positions nobody asks about.
"""

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

_AGREE_LOGITS = 0.05
"""Largest difference in log-odds between the two rows alone and the model's own full head.

The model multiplies in its own number type, so the size of its logits counts; and it hands them
over rounded to that type, which keeps 8 bits in bfloat16: a logit of 40 to the next quarter.
"""


class AnswerHead:
    """Runs a causal language model up to its last hidden states and applies the head to some.

    Args:
        model: A causal language model, with or without adapter.
    """

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self.causal = causal_of(model)
        config = self.causal.config.get_text_config()
        # Granite divides its logits, Cohere multiplies them, Gemma caps them.
        divisor = getattr(config, "logits_scaling", None) or 1.0
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(divisor)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)

    def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states.

        Args:
            input_ids: Shape ``(batch, length)``.
            attention_mask: The same shape, 1 where there is a token.

        Returns:
            Shape ``(batch, length, hidden)``, in the model's number type.
        """
        decoder = self.causal.base_model
        output = decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        return output.last_hidden_state

    def packed_hidden(self, packed: Packed) -> torch.Tensor:
        """Return the last hidden states of packed rows, shape ``(rows, length, hidden)``.

        Args:
            packed: A batch on the model's device.
        """
        with self.reading(packed) as inputs:
            return self.causal.base_model(**inputs).last_hidden_state

    @contextlib.contextmanager
    def reading(self, packed: Packed) -> Iterator[dict[str, Any]]:
        """Give, inside the block, what to call the model with to read packed rows.

        Args:
            packed: A batch on the model's device.
        """
        with sharing(self.causal):
            yield {
                "input_ids": packed.ids,
                "position_ids": packed.position,
                "visible": visibility(packed, _attention_dtype(self.causal)),
                "use_cache": False,
            }

    def answer_logits(self, states: torch.Tensor, answers: AnswerTokens) -> torch.Tensor:
        """Return the logits of Yes and No, in float32 throughout.

        Args:
            states: Hidden states at answer positions, shape ``(n, hidden)``.
            answers: Whose rows of the head to use.

        Returns:
            Shape ``(n, 2)``: Yes, No.
        """
        head = head_of(self.causal)
        rows = [answers.yes, answers.no]
        with torch.autocast(states.device.type, enabled=False):
            logits = states.float() @ head.weight[rows].float().T
            if getattr(head, "bias", None) is not None:
                logits = logits + head.bias[rows].float()
        return self._finish(logits)

    def check(self, prompt: list[int], answers: AnswerTokens) -> None:
        """Prove on one prompt that the two rows give what the model itself gives.

        Raises:
            ModelError: This kind of model does something else to its logits.
        """
        ids = torch.tensor([prompt], device=self.causal.device)
        mask = torch.ones_like(ids)
        with torch.no_grad():
            own = self.causal(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, -1]
            two = self.answer_logits(self.hidden(ids, mask)[:, -1], answers)[0]
        expected = (own[answers.yes].float() - own[answers.no].float()).item()
        found = (two[0] - two[1]).item()
        rounded = torch.finfo(own.dtype).eps * own[[answers.yes, answers.no]].abs().sum().item()
        allowed = _AGREE_LOGITS * max(1.0, own.abs().max().item() / 8) + rounded
        if not abs(found - expected) <= allowed:
            raise ModelError(
                f"{type(self.causal).__name__} transforms its logits in an unknown way (log-odds "
                f"{expected:.4f}, from the head's rows {found:.4f})",
                code="unknown_logit_transform",
                where=str(self.causal.config.name_or_path),
            )

    def _finish(self, logits: torch.Tensor) -> torch.Tensor:
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits


def _attention_dtype(causal: PreTrainedModel) -> torch.dtype:
    """Return the number type queries and keys have: autocast's inside it, else the model's."""
    device = causal.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else causal.dtype
