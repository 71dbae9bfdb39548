"""A rough estimate of the memory a training step needs, before one is tried, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer

from reeltune.models.causal_lm import causal_of
from reeltune.models.choices import Choice
from reeltune.models.load import parameter_counts
from reeltune.models.loaded_model import LoadedModel
from reeltune.runs.environment import free_memory
from reeltune.training.collate import Batch, tokens_held

_GIB = 2**30
# An adapter weight in training: the weight, its gradient and Adam's two moments, 4 bytes each.
_BYTES_PER_TRAINABLE = 16

_FREE_SHARE: Final = 0.7
"""How much of the free memory an estimated step may take: the estimate is rough."""


@dataclass(frozen=True)
class MemoryEstimate:
    """What one training step holds, in GiB.

    Attributes:
        weights: The frozen base model as it is stored.
        adapter: Adapter weights with gradients and optimizer state.
        activations: What the forward pass keeps for the backward pass.
        head: Logits at the answer positions and their gradient.
    """

    weights: float
    adapter: float
    activations: float
    head: float

    @property
    def total(self) -> float:
        """The sum, in GiB."""
        return self.weights + self.step

    @property
    def step(self) -> float:
        """What a step adds to the weights, in GiB."""
        return self.adapter + self.activations + self.head


def estimate_memory(
    model: PeftModel, batch_tokens: int, labelled_tokens: int, checkpointing: bool
) -> MemoryEstimate:
    """Estimate the memory of one training step.

    Per layer and token, the backward pass reads again: the inputs and outputs of the linear maps
    and gates, about 8 times the hidden size and 5 times the MLP size at the width of the compute
    type; the inputs of the normalizations in float32; and, where the adapter has dropout, a dropped
    copy of every adapted map's input with its mask. With checkpointing only one layer's share is
    held, and every layer's input.

    Args:
        model: The model with its adapter.
        batch_tokens: Tokens of one batch on one device, padding included.
        labelled_tokens: Positions of that batch with a label.
        checkpointing: Whether activations are recomputed.
    """
    causal = causal_of(model)
    config = causal.config.get_text_config()
    width = 4 if causal.dtype == torch.float32 else 2
    adapted = [module for module in model.modules() if isinstance(module, LoraLayer)]
    dropped = sum(
        int(module.in_features or 0)  # pyright: ignore
        for module in adapted
        if _has_dropout(module)
    )
    per_token = width * (8 * config.hidden_size + 5 * config.intermediate_size)
    per_token += 4 * 3 * config.hidden_size + (width + 1) * dropped / config.num_hidden_layers
    per_layer = batch_tokens * per_token
    layers = config.num_hidden_layers
    inputs = batch_tokens * width * config.hidden_size * layers
    trainable, _ = parameter_counts(model)
    return MemoryEstimate(
        weights=causal.get_memory_footprint() / _GIB,
        adapter=trainable * _BYTES_PER_TRAINABLE / _GIB,
        activations=(per_layer + inputs if checkpointing else per_layer * layers) / _GIB,
        head=2 * labelled_tokens * config.vocab_size * 4 / _GIB,
    )


def choose_checkpointing(loaded: LoadedModel, fullest: Batch) -> Choice[bool]:
    """Decide on gradient checkpointing, as configured or, with ``auto``, by the free memory.

    Args:
        loaded: The model, trainable.
        fullest: The batch with the most tokens.
    """
    configured = loaded.config.train.gradient_checkpointing
    if configured != "auto":
        return Choice(configured, "configured")
    needed = estimate_memory(
        loaded.peft_model, tokens_held(fullest), fullest["labels"].numel(), checkpointing=False
    ).step
    free = free_memory(loaded.device)
    return Choice(
        needed > _FREE_SHARE * free,
        f"a step without it takes about {needed:.1f} GiB; {free:.1f} GiB are free, of which it may "
        f"use {100 * _FREE_SHARE:.0f} %",
    )


def describe_checkpointing(choice: Choice[bool]) -> str:
    """Return the choice as one line, for the log and ``run.json``."""
    return f"gradient checkpointing: {'on' if choice.value else 'off'} ({choice.reason})"


def _has_dropout(layer: LoraLayer) -> bool:
    return any(isinstance(module, torch.nn.Dropout) for module in layer.lora_dropout.values())
