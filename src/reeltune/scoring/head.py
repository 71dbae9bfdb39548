"""The language-model head at the answer positions only, for the training loss and predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from peft import PeftModel
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from reeltune.attention.packed import Packed, pack_sequences
from reeltune.attention.packing import TILE
from reeltune.attention.shared import KnownTokens, not_shareable, sharing, visibility
from reeltune.errors import ModelError
from reeltune.models.causal_lm import CAUSAL_HINT, causal_of, head_of
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged

_LOGIT_TOLERANCE: Final = {True: 1e-3, False: 0.05}
"""Largest difference in log-odds between the two rows and the model's full head, in float32 (True)
and in 16 bits. It grows with the logits, which the model computes and rounds in its dtype.
"""


class AnswerHead:
    """Runs a causal language model up to its last hidden states and applies the head to some."""

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self.model = model
        self.causal = causal_of(model)
        config = self.causal.config.get_text_config()
        # Granite divides its logits, Cohere multiplies them, Gemma caps them.
        divisor = getattr(config, "logits_scaling", None) or 1.0
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(divisor)
        caps = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
        self.softcap = next((cap for name in caps if (cap := getattr(config, name, None))), None)
        # Some classes name their decoder differently, and are then their own base model.
        inner = self.causal.base_model
        self.decoder = self.causal.model if inner is self.causal else inner

    def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states, shape ``(batch, length, hidden)``, in the model's dtype.

        Both arguments have shape ``(batch, length)``; the mask is 1 at tokens.
        """
        return self._states(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)

    def packed_hidden(self, packed: Packed, known: KnownTokens | None = None) -> torch.Tensor:
        """Return the last hidden states of packed rows on the model's device, but known tokens."""
        with self.reading(packed, known) as inputs:
            return self._states(**inputs)

    def _states(self, **inputs: Any) -> torch.Tensor:
        """Return the last hidden states; a sharded model runs whole, its head on one token."""
        if not isinstance(self.model, FSDPModule):
            return self.decoder(**inputs).last_hidden_state
        states: list[torch.Tensor] = []

        def keep(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
            states.append(arguments[0])
            return arguments[0][:1, :1]

        with head_of(self.causal).register_forward_pre_hook(keep):
            self.model(**inputs)
        return states[0]

    @contextlib.contextmanager
    def reading(self, packed: Packed, known: KnownTokens | None = None) -> Iterator[dict[str, Any]]:
        """Yield the model's keyword arguments for packed rows; valid inside the block."""
        device = self.causal.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self.causal.dtype
        new = slice(None) if known is None else ~known.known
        with sharing(self.causal):
            inputs = {
                "input_ids": packed.ids[:, new],
                "position_ids": packed.position[:, new],
                "visible": visibility(packed, dtype, known),
                "use_cache": False,
            }
            yield inputs if known is None else inputs | {"known": known}

    def answer_logits(self, states: torch.Tensor, answers: AnswerTokens) -> torch.Tensor:
        """Return the logits of Yes and No, shape ``(n, 2)``, computed in float32.

        Args:
            states: Hidden states at answer positions, shape ``(n, hidden)``.
            answers: The token ids of Yes and No.
        """
        head = head_of(self.causal)
        rows = [answers.yes, answers.no]
        weight = head.weight[rows]
        weight = weight.full_tensor() if isinstance(weight, DTensor) else weight  # sharded, or not
        with torch.autocast(states.device.type, enabled=False):
            logits = states.float() @ weight.float().T
            if getattr(head, "bias", None) is not None:
                logits = logits + head.bias[rows].float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def check(self, prompt: list[int], answers: AnswerTokens) -> None:
        """Check on one prompt that the model is causal and the two rows give its own log-odds.

        Raises:
            ModelError: The model reads later tokens, or transforms its logits in an unknown way.
        """
        ids = torch.tensor([prompt], device=self.causal.device)
        mask, other = torch.ones_like(ids), ids.clone()
        states = self.hidden(ids, mask)
        name, where = type(self.causal).__name__, str(self.causal.config.name_or_path)
        other[0, -1] = answers.yes if prompt[-1] != answers.yes else answers.no
        ahead = (self.hidden(other, mask)[:, :-1] - states[:, :-1]).abs().sum().item()
        # How an expert's products are rounded depends on the number of its tokens.
        experts = any("expert" in part for part, _ in self.causal.named_modules())
        if not ahead <= (0.01 if experts else 1e-6) * states.abs().sum().item():
            raise ModelError(
                f"{name} is not causal: its states depend on later tokens, as an encoder's do",
                code="not_a_causal_model",
                where=where,
                hint=CAUSAL_HINT,
            )
        model = self.model if isinstance(self.model, FSDPModule) else self.causal
        own = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, -1]
        two = self.answer_logits(states[:, -1], answers)[0]
        expected = (own[answers.yes].float() - own[answers.no].float()).item()
        actual = (two[0] - two[1]).item()
        # Under autocast the logits are rounded in its type, and then returned in float32.
        dtype = self.causal.dtype
        rounded = torch.finfo(dtype).eps * own[[answers.yes, answers.no]].abs().sum().item()
        tolerance = _LOGIT_TOLERANCE[dtype == torch.float32]
        allowed = tolerance * max(1.0, own.abs().max().item() / 8) + rounded
        if not abs(actual - expected) <= allowed:
            raise ModelError(
                f"{name} transforms its logits in an unknown way (log-odds "
                f"{expected:.4f}, from the head's rows {actual:.4f})",
                code="unknown_logit_transform",
                where=where,
                hint="Set model.name_or_path to another model",
            )

    def shareable_window(self, prompt: list[int]) -> int | None:
        """Return the shortest sliding window of the model's layers, None without any.

        Raises:
            ModelError: The model mixes tokens in a way that histories cannot be shared in.
        """
        config = self.causal.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        if other := sorted(kinds - {"full_attention", "sliding_attention"}):
            raise not_shareable(self.causal, f"has {', '.join(other)} layers")
        if not self.causal._supports_attention_backend:
            reason = "mixes tokens in its own way (such as ALiBi or a recurrence)"
            raise not_shareable(self.causal, reason)
        pair = Sequences.single(Ragged.from_rows([np.array(prompt[:2], np.int32)] * 2))
        packed = pack_sequences(pair, [np.arange(2)], 0, length=TILE).packed
        windows: list[int | None] = []
        eager = torch.compiler.set_stance("force_eager")
        with eager, self.reading(packed.to(self.causal.device)) as inputs:
            self._states(**inputs, windows=windows.append)
        layers = getattr(config, "num_hidden_layers", 1)
        if len(windows) < layers:
            raise not_shareable(self.causal, f"has attention in {len(windows)} of {layers} layers")
        return min((window for window in windows if window), default=None)
