"""The causal language model inside its PEFT wrapper, and its parts."""

from __future__ import annotations

from operator import itemgetter
from typing import Final, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.errors import ModelError

CAUSAL_HINT: Final = (
    "Set model.name_or_path to a decoder-only causal language model, such as Qwen/Qwen3-0.6B"
)


def causal_of(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the language model itself; an adapter on it stays active."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model  # pyright: ignore[reportCallIssue]
    return cast("PreTrainedModel", inner)


def head_of(causal: PreTrainedModel) -> torch.nn.Linear:
    """Return the output embedding, shape ``(vocabulary, hidden)``."""
    head = causal.get_output_embeddings()
    if head is None:
        raise ModelError(
            "not a language model: it has no output embedding",
            code="no_output_embedding",
            where=type(causal).__name__,
        )
    return cast("torch.nn.Linear", head)


def find_decoder_layers(causal: PreTrainedModel) -> tuple[str, torch.nn.ModuleList] | None:
    """Return the name of the decoder layers' attribute, and the layers from the first to the last.

    None if they cannot be found.
    """
    count = causal.config.get_text_config().num_hidden_layers
    found = [
        (name.count("."), name.rpartition(".")[2], module)
        for name, module in causal.get_decoder().named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    return min(found, key=itemgetter(0))[1:] if found else None


def decoder_layers(causal: PreTrainedModel, hint: str) -> tuple[str, torch.nn.ModuleList]:
    """Return what :func:`find_decoder_layers` does.

    Raises:
        ModelError: ``no_decoder_layers``, with the hint.
    """
    if (found := find_decoder_layers(causal)) is None:
        raise ModelError(
            "the decoder layers cannot be found",
            code="no_decoder_layers",
            where=type(causal).__name__,
            hint=hint,
        )
    return found


def compile_layers(model: PreTrainedModel | PeftModel) -> None:
    """Compile every decoder layer in place for fixed shapes, as packed rows have.

    The layers are alike, so there is one compilation, at the first step; or two, if some have an
    adapter and some have none.
    """
    _, layers = decoder_layers(causal_of(model), "Set train.compile to false")
    # Training, evaluation and each batch shape are compiled separately.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 16)
    for layer in layers:
        layer.compile(dynamic=False)
