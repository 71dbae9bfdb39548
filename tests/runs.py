"""A configuration small enough to train in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reeltune.config import Config, build_config, config_tree, load_config


def tiny_overrides(model: Path, prepared: Path, work: Path, **changes: Any) -> list[str]:
    """Return ``--set`` values for a short run in float32, ``section__key=value`` to change them."""
    values: dict[str, Any] = {
        "model__name_or_path": model,
        "model__dtype": "float32",
        "lora__r": 4,
        "lora__alpha": 8,
        "prompt__form": "window",
        "prompt__signals": [],
        "data__prepared_dir": prepared,
        "data__cache_dir": work / "cache",
        "data__max_train_examples": 64,
        "scoring__fusion": "none",
        "train__output_dir": work / "run",
        # About eight examples to a packed row, so that an epoch has several steps.
        "train__block_size": 8,
        "train__pack_length": 1024,
        "train__batch_size": 4,
        "train__gradient_accumulation_steps": 1,
        "train__gradient_checkpointing": False,
        "train__max_steps": 4,
        "train__pairwise_weight": 0,
        "train__learning_rate": 1e-2,
        "train__metric_for_best_model": "eval_auc",
        "train__logging_steps": 2,
        "train__eval_steps": 2,
        "train__save_steps": 2,
        "train__early_stopping_patience": "null",
    }
    values |= changes
    return [f"{key.replace('__', '.')}={value}" for key, value in values.items()]


def tiny_config(model: Path, prepared: Path, work: Path, **changes: Any) -> Config:
    """Return the configuration of :func:`tiny_overrides`."""
    return load_config(None, tiny_overrides(model, prepared, work, **changes))


def of_a_file(config: Config) -> Config:
    """Return a configuration none of whose keys is explicit."""
    return build_config(config_tree(config))
