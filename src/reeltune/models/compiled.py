"""Compiling a model's layers, where that pays."""

from __future__ import annotations

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.errors import ModelError
from reeltune.models.causal import causal_of


def compile_layers(model: PreTrainedModel | PeftModel) -> None:
    """Compile every decoder layer in place; the first steps take tens of seconds longer.

    Layers are compiled one by one because they are alike, so that the work is done once, and for
    fixed shapes, which packed rows have.

    Raises:
        ModelError: The model's decoder layers are not where causal models keep them.
    """
    layers = getattr(causal_of(model).base_model, "layers", None)
    if not isinstance(layers, torch.nn.ModuleList):
        raise ModelError(
            "the decoder layers cannot be found",
            where=type(causal_of(model)).__name__,
            hint="Set train.compile to false",
        )
    # Training, evaluation and each shape of a batch are compiled for themselves.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 16)
    for layer in layers:
        layer.compile(dynamic=False)
