"""File names of a model, adapter, checkpoint or cache of rows that more than one part looks for."""

from __future__ import annotations

from typing import Final

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
TRAINER_STATE: Final = "trainer_state.json"
"""Written last in a checkpoint: one without it was cut off."""

TRAIN_CACHE: Final = "train_preprocessed"
"""The folder of the tokenized training rows within ``data.cache_dir``."""

CACHE_KEY: Final = "cache_key.json"
"""In such a folder: what the rows were made from."""
