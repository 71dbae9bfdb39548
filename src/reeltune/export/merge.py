"""Merge an adapter into the weights of its base, and write them as an ordinary model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from peft.tuners.lora import LoraModel
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from reeltune.config import Config
from reeltune.errors import ModelError
from reeltune.export.bases import Onto, load_to_merge
from reeltune.models.choices import Choice, ModelChoices
from reeltune.models.load import BaseModel, load_adapter
from reeltune.models.prompt_record import PromptRecord, write_prompt_record
from reeltune.models.tokenizer import first_line, load_tokenizer
from reeltune.prompts.chat import AnswerTokens

NumberType = Literal["bfloat16", "float16", "float32"]
"""What merged weights are rounded to; float32 rounds nothing."""

_NEW_TOKENS: Final = 8
"""Enough for an answer and its end; generation without a limit warns, and stops anywhere."""


def write_merged(
    folder: Path,
    config: Config,
    adapter: Path,
    dtype: NumberType,
    onto: Onto,
    answers: AnswerTokens,
    prompt: PromptRecord,
) -> None:
    """Write base and adapter as one model, with its tokenizer, into an empty folder.

    Args:
        folder: Where to.
        config: Names the base; for ``4bit``, asks for 4 bits.
        adapter: The trained adapter's folder.
        dtype: The number type of the weights.
        onto: Which weights of the base.
        answers: Whose end of the turn generation stops at.
        prompt: What the adapter was trained to be asked.

    Raises:
        ModelError: Base or adapter cannot be loaded, or a merged weight is not a finite number.
    """
    base = load_to_merge(config, onto)
    model = _merge(base, adapter)
    model.to(getattr(torch, dtype))  # pyright: ignore[reportArgumentType]
    _refuse_infinite(model, dtype)
    _answer_and_stop(model, answers.end)
    model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    write_prompt_record(folder, prompt)
    for file in folder.iterdir():
        file.chmod(0o644)  # the writer of weights keeps them from other users


def _merge(base: BaseModel, adapter: Path) -> PreTrainedModel:
    """Return the base with the adapter's products added to its weights."""
    lora = cast("LoraModel", load_adapter(base, adapter).base_model)
    try:
        return cast("PreTrainedModel", lora.merge_and_unload(safe_merge=True))
    except ValueError as error:
        raise ModelError(
            f"the adapter cannot be merged: {first_line(error)}", where=str(adapter)
        ) from error


def _refuse_infinite(model: PreTrainedModel, dtype: NumberType) -> None:
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"a merged weight is too large for {dtype}",
                where=name,
                hint="Export with --dtype bfloat16, which has the range of float32",
            )


def _answer_and_stop(model: PreTrainedModel, end: int) -> None:
    """Make the likeliest word, then the end of the turn, what plain generation gives."""
    settings = model.config
    settings.use_cache = True  # loading had switched it off, as training needs
    settings.eos_token_id = end
    model.generation_config = GenerationConfig(
        bos_token_id=settings.bos_token_id,
        eos_token_id=end,
        pad_token_id=settings.pad_token_id,
        do_sample=False,
        max_new_tokens=_NEW_TOKENS,
    )


def load_merged(folder: Path, device: torch.device) -> BaseModel:
    """Load a merged model as anybody would: by plain transformers, in the number type it has.

    Args:
        folder: What :func:`write_merged` wrote.
        device: Where to put it.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    choices = ModelChoices(
        device=Choice(device, "that of the adapter"),
        dtype=Choice(model.dtype, "as saved"),
        attention=Choice(model.config._attn_implementation, "what transformers takes by itself"),
        four_bit=Choice(False, "as saved"),
    )
    model.requires_grad_(False)
    return BaseModel(model.to(device).eval(), load_tokenizer(str(folder)), choices)
