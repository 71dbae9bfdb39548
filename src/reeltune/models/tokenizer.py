"""Tokenizers, and the error for models and tokenizers that cannot be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from reeltune.errors import ModelError
from reeltune.models.base_identity import refuse_missing_folder

# What transformers writes about models whose files are complete: a phrase, code and remedy.
_CAUSES: Final = (
    ("attention implementation", "attention_not_supported", "Set model.attention to auto"),
    ("Flash Attention", "attention_not_supported", "Set model.attention to auto"),
    (
        "trust_remote_code",
        "model_needs_its_own_code",
        "Use a model that transformers implements; no other code of models is run",
    ),
    (
        "does not recognize this architecture",
        "unknown_architecture",
        "Upgrade transformers, or set model.name_or_path to another model",
    ),
)


def load_tokenizer(name_or_path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or the hub, with padding on the right."""
    refuse_missing_folder(name_or_path, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name_or_path, revision=revision, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise not_loadable("tokenizer", name_or_path, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the padding token, which is the end token by default."""
    pad_id = tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise ModelError(
            "the tokenizer has no padding token",
            code="no_padding_token",
            where=str(tokenizer.name_or_path),
            hint="Set its pad_token",
        )
    return pad_id


def not_loadable(what: str, name: str, error: Exception) -> ModelError:
    """Return the error for a model or tokenizer that cannot be loaded."""
    message = f"the {what} cannot be loaded: {first_line(error)}"
    for phrase, code, hint in _CAUSES:
        if phrase in str(error):
            return ModelError(message, code=code, where=name, hint=hint)
    if Path(name).exists():
        return ModelError(
            message,
            code="model_folder_incomplete",
            where=name,
            hint="Copy config.json, the weights (*.safetensors) and the tokenizer's files again "
            "from where the model comes from",
        )
    return ModelError(
        message,
        code="model_not_found",
        where=name,
        hint="Check the name and the connection to the hub, or set model.name_or_path to a folder "
        "that holds the model (`reeltune fetch smollm2-135m` makes one without the hub). "
        "The base model of an adapter is named in its run.json",
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
