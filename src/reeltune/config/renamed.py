"""Renamed keys: users are told the new key, records of earlier runs are translated."""

from __future__ import annotations

import copy
from typing import Any, Final

from reeltune.domain import RENAMED_SIGNALS

RENAMED: Final = {
    "scoring.layout": "scoring.share_history",
    "train.layout": "train.share_history",
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

_VALUES: Final[dict[str, dict[Any, Any]]] = {
    "train.share_history": {"blocks": True, "single": False},
    "scoring.share_history": {"blocks": True, "single": False},
}
"""Old values of keys whose type changed with their name."""

RENAMED_VALUES: Final = {"train.loss": {"verdict": "yes_no"}, "prompt.signals": RENAMED_SIGNALS}
"""Old values, also in lists, of keys that kept their name."""

_VALUES_BEFORE: Final[dict[str, Any]] = {"prompt.signals": [], "train.pairwise_weight": 0.0}
"""The behaviour of runs older than a key, whose records do not have it."""


def new_key_hint(old: str) -> str:
    """Return what to write in place of an old key."""
    new = RENAMED[old]
    values = _VALUES.get(new, {})
    listed = ", ".join(f"{str(value).lower()} for {before}" for before, value in values.items())
    return f"Write {new} ({listed})" if listed else f"Write {new}"


def translate_record(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration recorded by an earlier run under the present keys."""
    tree = copy.deepcopy(tree)
    for old, new in RENAMED.items():
        section, key = old.split(".")
        new_section, new_key = new.split(".")
        if key in tree.get(section, {}):
            value = _present(tree[section].pop(key), _VALUES.get(new, {}))
            tree.setdefault(new_section, {})[new_key] = value
    for path, values in RENAMED_VALUES.items():
        section, key = path.split(".")
        if key in tree.get(section, {}):
            tree[section][key] = _present(tree[section][key], values)
    for path, value in _VALUES_BEFORE.items():
        section, key = path.split(".")
        tree.setdefault(section, {}).setdefault(key, value)
    return tree


def _present(value: Any, values: dict[Any, Any]) -> Any:
    """Return a value, or each of a list, under its present name."""
    if isinstance(value, list):
        return [_present(one, values) for one in value]
    return values.get(value, value) if isinstance(value, str) else value
