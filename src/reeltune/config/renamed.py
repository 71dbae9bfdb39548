"""Renamed keys: users are told the new key, records of earlier runs are translated."""

from __future__ import annotations

import copy
from typing import Any, Final

RENAMED: Final = {
    "prompt.evidence": "prompt.signals",
    "train.block_targets": "train.block_size",
    "evaluation.draws": "evaluation.bootstrap_samples",
    "serving.questions_per_pass": "serving.max_batch_queries",
    "serving.pass_s": "serving.target_batch_seconds",
    "serving.judged_candidates": "serving.default_candidates",
    "evaluation.control_examples": "evaluation.ablation_examples",
    "train.activation_checkpointing": "train.gradient_checkpointing",
    "train.lr_scheduler": "train.lr_scheduler_type",
    "train.dataloader_workers": "train.dataloader_num_workers",
}
"""Old key to new key. An old key in a YAML file or an override is an error."""


def translate_record(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration recorded by an earlier run under the present keys."""
    tree = copy.deepcopy(tree)
    for old, new in RENAMED.items():
        section, key = old.split(".")
        new_section, new_key = new.split(".")
        if key in tree.get(section, {}):
            tree.setdefault(new_section, {})[new_key] = tree[section].pop(key)
    return tree
