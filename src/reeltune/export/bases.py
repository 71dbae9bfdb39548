"""The bases an adapter can be asked on or merged into: as published, or held in 4 bits."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

import torch
from transformers import PreTrainedModel

from reeltune.config import Config
from reeltune.errors import ModelError
from reeltune.models.choices import Choice, ModelChoices, make_choices
from reeltune.models.load import BaseModel, load_base

Onto = Literal["published", "4bit"]
"""What an adapter is merged into: the weights as published, or as 4 bits hold them."""

PUBLISHED: Final[Onto] = "published"
IN_4_BITS: Final[Onto] = "4bit"

NO_FOUR_BIT: Final = (
    "4 bits need a CUDA GPU; with --set quantization.allow_cpu=true a CPU runs them too, slowly"
)

_MERGING: Final = ModelChoices(
    device=Choice(torch.device("cpu"), "merging takes memory, not time"),
    dtype=Choice(torch.float32, "every sum is made in float32 and rounded once"),
    attention=Choice("sdpa", "nothing is computed with it"),
    four_bit=Choice(False, "weights in 4 bits cannot be added to"),
)


def with_four_bit(config: Config, four_bit: bool, allow_cpu: bool) -> Config:
    """Return a configuration that asks for a base in 4 bits, or for an unquantized one.

    Args:
        config: Says in which 4 bits.
        four_bit: Which of them.
        allow_cpu: Whether 4 bits may be used on a CPU.
    """
    part = {"load_in_4bit": four_bit, "allow_cpu": allow_cpu}
    quantization = config.quantization.model_copy(update=part)
    return config.model_copy(update={"quantization": quantization})


def load_to_merge(config: Config, onto: Onto) -> BaseModel:
    """Load a base in float32 on the CPU, ready to be added to.

    Args:
        config: Names the base; for 4 bits, asks for them.
        onto: With ``4bit``, each weight is the value its 4 bits stand for, which is what an
            adapter on such a base was trained with.

    Raises:
        ModelError: The base cannot be loaded, or 4 bits cannot be had here.
    """
    if onto == PUBLISHED:
        return load_base(config, _MERGING)
    choices = make_choices(config)
    if not choices.four_bit.value:
        raise ModelError(NO_FOUR_BIT, where=f"--onto {IN_4_BITS}")
    base = load_base(config, choices)
    model = cast("Any", base.model).dequantize(dtype=torch.float32)
    # What 4 bits leave out (embeddings, norms) still has the number type it was loaded in.
    model.to(device=_MERGING.device.value, dtype=torch.float32)
    return BaseModel(cast("PreTrainedModel", model), base.tokenizer, _MERGING)
