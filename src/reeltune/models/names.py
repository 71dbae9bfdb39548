"""File names of a Hugging Face model, adapter or checkpoint that this package looks for."""

from __future__ import annotations

from typing import Final

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
TRAINER_STATE: Final = "trainer_state.json"
"""Written last in a checkpoint: one without it was cut off."""
