"""The causal language model inside whatever is wrapped around it, and its parts."""

from __future__ import annotations

from typing import cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from reeltune.errors import ModelError


def causal_of(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the language model itself; an adapter set on it stays in force."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model  # pyright: ignore[reportCallIssue]
    return cast("PreTrainedModel", inner)


def head_of(causal: PreTrainedModel) -> torch.nn.Linear:
    """Return the output embedding, shape ``(vocabulary, hidden)``.

    Raises:
        ModelError: The model has none.
    """
    head = causal.get_output_embeddings()
    if head is None:
        raise ModelError("not a language model: it has no head", where=type(causal).__name__)
    return cast("torch.nn.Linear", head)


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id that fills rows up.

    Raises:
        ModelError: The tokenizer has neither a padding nor an end token.
    """
    pad_id = tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise ModelError(
            "the tokenizer has no token to pad with",
            where=str(tokenizer.name_or_path),
            hint="Set its pad_token",
        )
    return pad_id
